"""Why a call that asks by batches ends early. To be caught where the openai package may be absent."""


class BatchesUnderWay(RuntimeError):
    """Batches are not done yet. Nothing is lost: the same call looks at them again."""


class BatchServiceFailure(RuntimeError):
    """The server does not take, tell or hand out batches. Nothing is lost: the same call goes on."""
