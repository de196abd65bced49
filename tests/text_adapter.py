"""An adapter for tests: text in, text out, with a memory."""

from hiddenstate.errors import DataError


class Texts:
    """Reads "1 2 3", adds the element before it, and answers with two decimals; "wait" runs nothing.

    It changes its memory before it finds out that an element is unusable: putting it back is up to others.
    """

    def __init__(self):
        self.memory = {"last": [0.0, 0.0, 0.0], "seen": 0}

    def encode(self, element):
        self.memory["seen"] += 1
        if element == "wait":
            return None
        try:
            values = [float(word) for word in element.split()]
        except (ValueError, AttributeError):
            raise DataError("not numbers", got=repr(element)) from None
        last, self.memory["last"] = self.memory["last"], values
        return {"x": [a + b for a, b in zip(values, last, strict=False)]}

    def decode(self, output):
        return f"{self.memory['seen']}: " + " ".join(f"{value:.2f}" for value in output)

    def state(self):
        return {"last": list(self.memory["last"]), "seen": self.memory["seen"]}

    def restore(self, state):
        self.memory = {"last": [float(value) for value in state["last"]], "seen": int(state["seen"])}
