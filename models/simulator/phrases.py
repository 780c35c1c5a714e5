"""The words of simulated conversations: what customers and agents say, by topic and tone. Complaints: `complaints`.

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
