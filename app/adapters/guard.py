"""The egress guard: asked before a URL is registered, and for each address before it is dialled."""

from dataclasses import dataclass, field

from app.adapters.names import Resolver
from app.domain.egress import EgressRefused, Network, check_address, parse_url

MAX_PASSED = 4096
MAX_REGISTRATION_LOOKUP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Guard:
    """The egress guard.

    `networks` are let through although they are not public. `ca_file` (PEM) is trusted for
    TLS in place of the system's certificates.
    """

    networks: tuple[Network, ...] = ()
    ca_file: str | None = None
    # The rules are pure, so what passed once passes again. Asked by several threads, which is safe.
    _passed: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def check_url(self, url: str, *, resolve: bool = True) -> None:
        """Raises EgressRefused for a URL that must not be registered.

        With `resolve` every address of the name is checked. A name without an answer (within
        5 s) passes: it may come up later, and whatever is dialled is checked anyway.
        """
        target = parse_url(url)
        if target.address is not None:
            self.check_address(str(target.address))
        elif resolve:
            answer = Resolver().wait(target.host, MAX_REGISTRATION_LOOKUP_SECONDS)
            for address in answer.addresses if answer is not None else ():
                self.check_address(address)

    def check_address(self, address: str) -> None:
        """Raises EgressRefused for an address that must not be dialled."""
        if address in self._passed:
            return
        check_address(address, self.networks)
        if len(self._passed) >= MAX_PASSED:
            self._passed.clear()
        self._passed.add(address)

    def allows(self, address: str) -> bool:
        """Whether `address` may be dialled."""
        try:
            self.check_address(address)
        except EgressRefused:
            return False
        return True
