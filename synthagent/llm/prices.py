"""What a model's tokens cost. The user's own prices come first; else `genai-prices` is asked, if it is installed."""

from collections.abc import Mapping

from synthagent.config import Price


def price_of(model: str, own: Mapping[str, Price]) -> Price | None:
    """A model's price, by its name or what follows its last slash; None if nobody knows it.

    Asks no network: `genai-prices` (extra `[prices]`) carries its table with it.
    """
    short = model.rpartition("/")[2]
    return own.get(model) or own.get(short) or _listed(short)


def _listed(model: str) -> Price | None:
    """The list price for a million tokens read and a million written."""
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ImportError:
        return None
    try:
        read = calc_price(Tokens(input_tokens=1_000), model_ref=model).total_price
        written = calc_price(Tokens(output_tokens=1_000), model_ref=model).total_price
    except LookupError:
        return None
    return Price(input=float(read) * 1_000, output=float(written) * 1_000)
