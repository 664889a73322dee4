"""The keys of the Secret with the credentials of a model's source; they are also the names of the variables."""

from typing import Final

_HTTP_KEYS: Final = {"HTTP_BEARER_TOKEN": False, "HTTP_USERNAME": False, "HTTP_PASSWORD": False}
SECRET_KEYS_BY_SCHEME: Final = {
    "s3": {"AWS_ACCESS_KEY_ID": True, "AWS_SECRET_ACCESS_KEY": True, "AWS_SESSION_TOKEN": False},
    "hf": {"HF_TOKEN": True},
    "http": _HTTP_KEYS,
    "https": _HTTP_KEYS,
}
"""The keys of the Secret for each scheme. True: the key is required, so a pod does not start without it."""
