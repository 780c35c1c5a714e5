"""The words of simulated conversations: for each topic what customers and agents say, by tone.

A topic is told in up to four steps - opening, detail, pressing on, close - with agents' lines in between. Slots
in braces are filled by `transcripts`. Texts are made up.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ANGRY, COOL, WARM = range(3)

Lines = tuple[str, ...]


class Topic(NamedTuple):
    """What is said about one topic. `openings` and `closings` are by tone: angry, cool, warm."""

    name: str
    queue: str
    openings: tuple[Lines, Lines, Lines]
    details: Lines
    solved: Lines
    unsolved: Lines


LATE: Final = Topic(
    "delivery_late",
    "delivery",
    (
        (
            "Where is my order {order}? It was promised {days} days ago and still nothing. This is ridiculous.",
            "My box is {days} days late AGAIN. I am really fed up with this.",
            "Third time this year that a delivery does not show up. Order {order}, what is going on over there?",
            "I stayed at home all day for nothing. Your courier is useless and nobody tells me anything!",
            "This is the worst delivery service I have ever had. {days} days late and no message, nothing.",
        ),
        (
            "Hi, my order {order} should have been here {days} days ago. Can you check?",
            "The tracking for {order} has not moved in {days} days. I am a bit worried that it is lost.",
            "Hello, the delivery with the {product} is late. Do you know when it will arrive?",
            "I have not received order {order} yet, it is {days} days over the date.",
            "The parcel seems to be stuck at the depot since the weekend. That is annoying.",
        ),
        (
            "Hello! Just a quick one: order {order} is a little late, any news? No rush, thanks.",
            "Hi there, love the service usually, but the {product} has not arrived yet. Could you have a look?",
            "Good morning, could you help me find my parcel {order}? It is {days} days late, I guess it will turn up.",
        ),
    ),
    (
        "Yes, same address as always, nothing has changed.",
        "The tracking page says 'out for delivery' since {days} days.",
        "I needed the {product} for last weekend, now it is too late.",
        "No card in the letter box, and the neighbours have nothing either.",
        "The mail said between 10 and 12. Nobody came.",
    ),
    (
        "I found it: the parcel was sorted to the wrong depot. It goes out tomorrow morning, free of charge.",
        "I have sent a new box by express just now. You will have it tomorrow and can keep both if it shows up.",
        "The courier confirms that it is on the van today. I have also added a credit of {amount} for the trouble.",
    ),
    (
        "I am sorry, I cannot see more than you do on the tracking page. You would have to wait a few more days.",
        "The courier does not answer us at the moment. I can only open a ticket, it takes five to ten working days.",
        "I understand, but a refund is not possible before 21 days have passed. Please contact us again then.",
    ),
)

DOUBLE_CHARGE: Final = Topic(
    "double_charge",
    "billing",
    (
        (
            "You took {amount} from my card TWICE. I want my money back now.",
            "Why was I charged two times this month? This is theft, honestly.",
            "Second month in a row with a wrong charge of {amount}. I do not trust you with my card any more.",
            "I am furious. {amount} twice on my statement and your help page is a bad joke.",
        ),
        (
            "Hi, I see two charges of {amount} on my statement. One of them must be a mistake.",
            "Hello, I think I was billed twice for my subscription this month.",
            "There is a payment of {amount} that I do not recognise. Can you explain it?",
            "My invoice says {amount} but my bank shows it two times. Please correct this.",
        ),
        (
            "Hi! I believe that there is a small mix-up, I see {amount} twice on my card. Could you kindly check?",
            "Hello, happy customer here. I was charged twice this month, can you please sort it out? Thanks!",
        ),
    ),
    (
        "Both on the same day, a few minutes apart.",
        "The card ends with {digits}, if that helps.",
        "No, I only have one account with you.",
        "My bank says that both went through, it is not just a reservation.",
        "Now my account is overdrawn because of this.",
    ),
    (
        "You are right, I see the second charge. I have refunded {amount}, it takes two to three days.",
        "That was our mistake, sorry. The double payment is cancelled and this month is on us.",
        "I have corrected the invoice and the amount is already on its way back to you.",
    ),
    (
        "I only see one payment here. You would have to ask your bank about the other one.",
        "Billing has to look at this and they do not take calls. I cannot tell you how long it takes.",
        "I am afraid our system does not let me refund that. I can note your complaint.",
    ),
)

QUALITY: Final = Topic(
    "quality",
    "products",
    (
        (
            "The {product} came broken and smells awful. Do you check anything before you send it?",
            "This is garbage. The {product} fell apart after {days} days.",
            "The quality gets worse every month. The {product} was inedible, I threw it away. Terrible.",
            "I paid {amount} for a {product} that does not even work. Very disappointed.",
        ),
        (
            "Hello, the {product} from order {order} is damaged. What can we do?",
            "The {product} is not what the picture shows. I expected better.",
            "Hi, one item was missing and the {product} had a crack.",
            "I am not really satisfied with the {product}, it stopped working after {days} days.",
        ),
        (
            "Hi, I usually love everything, but the {product} arrived with a dent. Could I get another one?",
            "Hello! Sadly the {product} was not as good as last time. Everything else was great though.",
        ),
    ),
    (
        "I can send you a photo, it is quite obvious.",
        "It was like that when I opened the box.",
        "Others write the same in the reviews.",
        "I have had three of them before and they were fine.",
        "The seal was open and half of it had leaked out.",
    ),
    (
        "That should not have happened. A new {product} goes out today, and you need not send the old one back.",
        "I have refunded {amount} for it and told the warehouse to check that batch.",
        "Thank you for the photo. I am sending a replacement with a small gift to make up for it.",
    ),
    (
        "According to our terms we cannot take back opened goods. I am sorry.",
        "You would have to return it at your own cost first, then our team decides.",
        "The supplier has to confirm the fault. That can take some weeks, I have no influence on it.",
    ),
)

LEAVE: Final = Topic(
    "cancel_request",
    "retention",
    (
        (
            "I want to cancel my subscription. Right now. I have had enough.",
            "Cancel my account, please. I am tired of paying {amount} for this mess.",
            "How do I cancel? Your website hides the button and that makes me angry.",
            "I am leaving. Other shops do this better and cheaper. Please terminate my contract.",
        ),
        (
            "Hello, I would like to cancel my subscription.",
            "Hi, I hardly use it any more, so I am thinking about cancelling. What are the terms?",
            "I would like to end my plan at the end of the month. {amount} is too much for what I get.",
            "Can you tell me the notice period? I want to unsubscribe.",
        ),
        (
            "Hi, it has been nice with you, but I think that I will cancel for now. We have to save a little.",
            "Hello! We are moving abroad, so I may have to cancel my subscription. Is there a way to pause?",
        ),
    ),
    (
        "The price went up and I do not order as often as I used to.",
        "I have found another offer that fits better.",
        "It is just too many problems lately.",
        "I have not opened the last two boxes, to be honest.",
        "My friend pays less for the same thing somewhere else.",
    ),
    (
        "I understand. What I can offer is three months at half the price - would you give us another chance?",
        "We can pause your plan for two months without any cost, and you decide afterwards.",
        "Let me move you to the smaller plan, that would be cheaper from today on.",
    ),
    (
        "I cannot cancel it from here, you have to use the form on the website.",
        "The next possible date is after the coming renewal. I am not able to change that.",
        "I have noted that you want to leave. Someone will call you back in the next days.",
    ),
)

QUESTION: Final = Topic(
    "question",
    "general",
    (
        (
            "I asked this twice already: can I change my delivery day or not?",
            "Your help page is confusing. How do I change my card?",
        ),
        (
            "Hi, how can I change the delivery address for the next box?",
            "Hello, is the {product} also available in a larger size?",
            "Can I skip one month in summer?",
            "Where do I find my invoices?",
            "Is it possible to add the {product} to my next delivery?",
        ),
        (
            "Hi! Quick question: can I send a box to a friend as a gift? They would love the {product}.",
            "Hello, I would like to upgrade my plan. What would it cost? I really enjoy it.",
            "Good afternoon! Do you have a gift card? My sister wants to join too.",
        ),
    ),
    (
        "It is about the plan that I have now.",
        "On the app, not on the website.",
        "From next month on would be fine.",
        "I looked under settings but could not find it.",
    ),
    (
        "Yes, you can do that under account and then deliveries. I have also sent you the link.",
        "Sure, I have changed that for you, it counts from the next box.",
        "That is possible at no extra cost. Just tick it before the 20th.",
    ),
    ("I will have to ask and come back to you by mail.",),
)

PRAISE: Final = Topic(
    "praise",
    "general",
    (
        ("Not everything is bad: the {product} is good. The rest needs work, though.",),
        (
            "Hi, just wanted to say that the new {product} is good.",
            "Hello, the delivery was on time this time, thank you for that.",
        ),
        (
            "I just wanted to say thank you! The {product} is fantastic, my family loves it.",
            "Great service, really. The box arrived a day early and everything was perfect.",
            "You people are wonderful. Your colleague helped me so quickly last week, I am very happy.",
            "Hi! Best subscription I have ever had. The {product} made my day.",
        ),
    ),
    (
        "I have already told my friends about it.",
        "Please pass it on to the team.",
        "I will leave a good review as well.",
    ),
    (
        "That is so kind, thank you! I will tell the whole team.",
        "We are very glad to hear that. Thank you for taking the time!",
    ),
    ("Thank you for your message.",),
)

COMPLAINTS: Final = (LATE, DOUBLE_CHARGE, QUALITY)

GREETINGS: Final = (
    "Hello, this is {agent}. How can I help you?",
    "Thank you for contacting us, my name is {agent}. What can I do for you?",
    "Good day, {agent} speaking. How may I help?",
    "Hi, you are talking to {agent}. What is it about?",
)
ASKING: Final = (
    "I am sorry to hear that. Can you tell me a bit more?",
    "Let me have a look. Is there anything else I should know?",
    "One moment please, I am opening your account. What happened exactly?",
    "I see. May I ask for some details?",
    "Thanks, I have your account here. Could you describe it once more?",
)
PRESSING: Final = (
    (
        "That is not good enough. What are you going to do about it?",
        "So nobody is responsible? Great.",
        "I have heard that before and nothing happened. I am really annoyed.",
        "Every time the same excuses. This is a waste of my time.",
    ),
    ("And what does that mean for me?", "Is there nothing else that you can do?", "Okay. How long would it take?"),
    ("I see. Could you maybe check once more?", "All right, I understand. What do you suggest?"),
)
HOLDING: Final = (
    "I understand, please give me a moment.",
    "Let me ask a colleague, one second.",
    "I can see why that is frustrating. Bear with me.",
    "Thank you for your patience.",
)
GLAD: Final = (
    ("Finally. I hope it works this time.", "Fine. But this must not happen again."),
    ("Okay, that works. Thanks.", "All right, thank you for sorting it out.", "Good, that is what I needed."),
    (
        "Perfect, thank you so much!",
        "Wonderful, that was quick. Have a great day!",
        "Thanks a lot, great help!",
    ),
)
DISAPPOINTED: Final = (
    (
        "Unbelievable. Then I will take my business elsewhere.",
        "This is a terrible service. I am done with you.",
        "You have not helped me at all. I will never order here again.",
        "Bad. Just bad. Goodbye.",
    ),
    (
        "That is disappointing. I will think about whether I stay.",
        "Hm, that does not help me. Bye.",
        "I expected more, to be honest.",
    ),
    ("That is a pity, but thank you for trying.", "Okay, not what I hoped for. I will wait then."),
)
FAREWELLS: Final = (
    "Thank you for getting in touch. Goodbye!",
    "Is there anything else? No? Then have a nice day.",
    "Take care, bye.",
)
AGENTS: Final = ("Amira", "Ben", "Chloe", "David", "Elif", "Fatou", "George", "Hana", "Ivan", "Julia", "Kofi", "Lena")
FILLERS: Final = ("um, ", "well, ", "yeah, ", "you know, ", "look, ", "so, ", "", "", "", "")
