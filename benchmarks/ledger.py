"""A run counts only if its ledger balances: what was accepted was received, and nothing else."""

from collections.abc import Collection, Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from benchmarks.receiver import Ledger


def balance(accepted: Collection[str], ledger: Ledger) -> str | None:
    """Why the receiver's ledger does not balance with what was accepted; None if it does."""
    expected, received = set(accepted), ledger.received_at.keys()
    lost, strange = len(expected - received), len(received - expected)
    if lost:
        return f"{lost} of {len(expected)} were lost"
    if strange:
        return f"{strange} were received that nobody had accepted"
    return None if expected else "nothing was accepted"


def check_sample(secrets: Mapping[str, str], ledger: Ledger) -> str | None:
    """Why the first message is not as Standard Webhooks has it; None if it is.

    `secrets` are by message id.
    """
    headers = dict(ledger.sample_headers)
    try:
        Webhook(secrets[headers["webhook-id"]]).verify(ledger.sample_body, headers)
    except (KeyError, WebhookVerificationError) as fault:
        return f"the signature is wrong: {fault!r}"
    return None
