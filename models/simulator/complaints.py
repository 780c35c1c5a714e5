"""What customers of the simulated shop complain about, and what they are told."""

from __future__ import annotations

from typing import Final

from models.simulator.phrases import Topic

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

COMPLAINTS: Final = (LATE, DOUBLE_CHARGE, QUALITY)
