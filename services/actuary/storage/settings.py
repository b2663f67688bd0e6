"""How to reach the object store: the only place of this layer that reads environment and secret files."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pydantic_settings

from actuary import errors


class StorageSettings(pydantic_settings.BaseSettings):
    """Settings of the object store; variables `ACTUARY_STORAGE_…`. A folder needs none of them."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_STORAGE_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    endpoint: str = "http://127.0.0.1:9000"
    """URL of an S3 server, `http://` or `https://`, host and port."""
    region: str = "us-east-1"
    """Region for signatures. Always set, so that no request is spent on asking for it."""
    access_key: pydantic.SecretStr | None = None
    """Access key; `access_key_file` is preferred where others can read the environment."""
    secret_key: pydantic.SecretStr | None = None
    """Secret key; `secret_key_file` is preferred."""
    session_token: pydantic.SecretStr | None = None
    """Session token of temporary credentials."""
    access_key_file: Path | None = None
    """File that holds the access key, such as a mounted secret; wins over `access_key`."""
    secret_key_file: Path | None = None
    """File that holds the secret key; wins over `secret_key`."""
    session_token_file: Path | None = None
    """File that holds the session token; wins over `session_token`."""
    create_bucket: bool = True
    """Make a missing bucket when it is first written to; false where a bucket needs an administrator."""
    connect_timeout_seconds: float = pydantic.Field(default=5.0, gt=0)
    """Seconds until a connection counts as failed; a guess that suits one cluster."""
    read_timeout_seconds: float = pydantic.Field(default=60.0, gt=0)
    """Seconds without a byte until a request counts as failed; a guess."""
    retry_seconds: float = pydantic.Field(default=60.0, ge=0)
    """Seconds for which a request is repeated; long enough for a server to restart."""
    retry_attempts: int = pydantic.Field(default=10, ge=1)
    """Attempts at most, the first included."""
    retry_longest_wait_seconds: float = pydantic.Field(default=10.0, ge=0)
    """Upper bound of one pause; pauses double from 0.1 s and are drawn uniformly below that."""
    part_bytes: int = pydantic.Field(default=16 << 20, ge=5 << 20)
    """Bytes a part of a multipart upload; S3 allows 10,000 parts of at least 5 MiB."""

    @property
    def credential_files(self) -> tuple[Path, ...]:
        """The files that credentials come from; none where they come from variables."""
        files = (self.access_key_file, self.secret_key_file, self.session_token_file)
        return tuple(path for path in files if path is not None)

    def credentials(self) -> tuple[str, str, str | None]:
        """Access key, secret key and session token; files win over variables.

        Raises:
            InvalidInputError: one of the two keys is missing, or a file cannot be read.
        """
        access = _secret("access_key", self.access_key, self.access_key_file)
        secret = _secret("secret_key", self.secret_key, self.secret_key_file)
        if not access or not secret:
            missing = " and ".join(n for n, v in (("access_key", access), ("secret_key", secret)) if not v)
            raise errors.InvalidInputError(
                f"the object store at {self.endpoint} needs {missing}: set "
                "ACTUARY_STORAGE_ACCESS_KEY and ACTUARY_STORAGE_SECRET_KEY, or …_ACCESS_KEY_FILE and "
                "…_SECRET_KEY_FILE with the path of a file"
            )
        return access, secret, _secret("session_token", self.session_token, self.session_token_file)


def _secret(name: str, value: pydantic.SecretStr | None, path: Path | None) -> str | None:
    if path is not None:
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise errors.InvalidInputError(
                f"storage.{name}_file: cannot read {path}: {error.strerror}"
            ) from error
    return value.get_secret_value() if value is not None else None
