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
    """The list price for a million tokens read and a million written; None where the list does not price both.

    The first tier, where long prompts cost more.
    """
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ImportError:
        return None
    try:
        read = calc_price(Tokens(input_tokens=1_000), model_ref=model)
        written = calc_price(Tokens(output_tokens=1_000), model_ref=model)
    except LookupError:
        return None
    # Some releases leave out the attribute, some set it to None.
    if any(getattr(read.model_price, side, None) is None for side in ("input_mtok", "output_mtok")):
        # Priced by the page or the minute, or for its input alone: a total of 0 is not its price.
        return None
    return Price(input=float(read.total_price) * 1_000, output=float(written.total_price) * 1_000)
