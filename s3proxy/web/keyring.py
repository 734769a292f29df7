"""Who may come in by one configuration, and what each of them may do."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from s3proxy.config_model import AuthConfig, CredentialConfig, ServerConfig
from s3proxy.model import Grant
from s3proxy.plan.access import Rights


@frozen
class Keyring:
    """
    Key pairs and the token. A reload makes a new one: requests at work keep the rights
    that they came in with.

    :ivar token: What ``X-Proxy-Token`` must hold; None = it is not looked at.
    :ivar owner: Rights of the token, and of everybody where authentication is off.
    """

    _secrets: Mapping[str, str] = field(repr=False)
    _rights: Mapping[str, Rights]
    _token: str | None = field(repr=False)
    owner: Rights

    @classmethod
    def of(
        cls,
        auth: AuthConfig,
        credentials: Sequence[CredentialConfig] = (),
        bucket: str = ServerConfig().virtual_bucket,
    ) -> Keyring:
        """
        What a configuration says.

        :param bucket: Of *auth*: its key and its token have that one, whole.
        """
        owner = Rights({bucket: Grant()})
        secrets = {each.access_key_id: each.secret_access_key for each in credentials}
        rights = {
            each.access_key_id: Rights(
                each.buckets, each.access_key_id, each.create_buckets
            )
            for each in credentials
        }
        if auth.access_key_id is not None and auth.secret_access_key is not None:
            secrets[auth.access_key_id] = auth.secret_access_key
            rights[auth.access_key_id] = owner
        return cls(secrets, rights, auth.token, owner)

    @property
    def has_keys(self) -> bool:
        """Whether signatures are looked at."""
        return bool(self._secrets)

    @property
    def is_open(self) -> bool:
        """Whether authentication is off."""
        return not self._secrets and self._token is None

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of a key; None for an unknown one."""
        return self._secrets.get(access_key_id)

    def rights_of(self, access_key_id: str) -> Rights:
        """What a known key may do."""
        return self._rights[access_key_id]

    def is_token(self, sent: str) -> bool:
        """Whether it is the token, in the same time for every guess."""
        if self._token is None:
            return False
        return hmac.compare_digest(sent.encode("latin-1"), self._token.encode())
