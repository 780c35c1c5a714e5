"""What a customer does during one visit: looks, searches, fills the cart, maybe orders."""

from __future__ import annotations

from random import Random

from models.simulator.arrival import Mail
from models.simulator.shop import CURRENCY, PRODUCTS, Product

_SEARCH, _ADD, _CHECKOUT, _ORDER, _COUPON = 0.08, 0.16, 0.6, 0.7, 0.15
_MORE_VIEWS, _MAX_VIEWS = 0.3, 12
_STEP_MS = 70_000
_PAGES = tuple(
    f'"name":"{name}","properties":{{"path":"{path}","title":"{name}","url":"https://shop.example{path}"}}'
    for name, path in (
        ("Home", "/"),
        ("Offers", "/offers"),
        ("Coffee", "/c/coffee"),
        ("Tea", "/c/tea"),
        ("Pantry", "/c/pantry"),
        ("My account", "/account"),
        ("My deliveries", "/account/deliveries"),
        ("Recipes", "/recipes"),
    )
)
_QUERIES = ("decaf", "gift", "earl grey", "organic", "olive", "vegan", "new", "dark chocolate", "cold brew", "refill")


class Visits:
    """Tells visits to the mail, and remembers each customer's last order and product."""

    def __init__(self, mail: Mail, dice: Random) -> None:
        self._mail = mail
        self._dice = dice
        self._orders = 0
        self._last: dict[int, tuple[str, Product, float]] = {}

    def last_order(self, customer: int) -> tuple[str, Product, float]:
        """Order id, one product of it and its total. Before the first order: that of the welcome box."""
        product = PRODUCTS[customer % len(PRODUCTS)]
        return self._last.get(customer, (f"o-welcome-{customer}", product, product.price))

    def tell(self, customer: int, at: int, until: int) -> None:
        """One visit that begins at `at`; nothing is told from `until` on. Both in epoch milliseconds."""
        dice = self._dice
        steps = self._browse(customer)
        for name, body in steps:
            if at >= until:
                return
            if name == "page":
                self._mail.page(customer, at, body)
            else:
                self._mail.track(customer, at, name, body)
            at += 4_000 + int(dice.random() * _STEP_MS)

    def _browse(self, customer: int) -> list[tuple[str, str]]:
        dice = self._dice
        steps = [("page", dice.choice(_PAGES))]
        if dice.random() < _SEARCH:
            steps.append(("Products Searched", f'{{"query":"{dice.choice(_QUERIES)}"}}'))
        cart: list[tuple[Product, int]] = []
        views = 0
        while views < _MAX_VIEWS and dice.random() < _MORE_VIEWS:
            views += 1
        for _ in range(views):
            product = dice.choice(PRODUCTS)
            steps.append(("Product Viewed", f'{{{product.fields},"currency":"{CURRENCY}","value":{product.price}}}'))
            if dice.random() < _ADD:
                quantity = 1 + int(dice.random() ** 3 * 4)
                cart.append((product, quantity))
                steps.append(("Product Added", f'{{"cart_id":"k-{customer}",{product.fields},"quantity":{quantity}}}'))
        if cart and dice.random() < _CHECKOUT:
            steps += self._buy(customer, cart)
        return steps

    def _buy(self, customer: int, cart: list[tuple[Product, int]]) -> list[tuple[str, str]]:
        dice = self._dice
        self._orders += 1
        order_id = f"o-{self._orders:07d}"
        full = sum(product.price * quantity for product, quantity in cart)
        discount = round(full * 0.1, 2) if dice.random() < _COUPON else 0.0
        coupon = ',"coupon":"TEN"' if discount else ""
        revenue, shipping = round(full - discount, 2), 0.0 if full > 25 else 3.9
        tax = round(revenue * 0.07, 2)
        products = ",".join(f'{{{product.fields},"quantity":{quantity}}}' for product, quantity in cart)
        total = round(revenue + shipping + tax, 2)
        body = (
            f'{{"order_id":"{order_id}","checkout_id":"k-{customer}","affiliation":"web","subtotal":{revenue},'
            f'"revenue":{revenue},"shipping":{shipping},"tax":{tax},"total":{total},"value":{total},'
            f'"discount":{discount}{coupon},"currency":"{CURRENCY}","products":[{products}]}}'
        )
        steps = [("Checkout Started", body)]
        if dice.random() < _ORDER:
            steps.append(("Order Completed", body))
            self._last[customer] = (order_id, cart[0][0], total)
        return steps
