"""Any sequence of claims, renewals, losses, completions, cancellations and gates that close,
against a model of the queue."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from app.domain.retry import Reason
from app.domain.traffic import Gate, Standing
from app.services.claims import Claim, Completion
from app.services.traffic import TrafficWatch, open_by_hand
from tests.services.test_traffic import hear, rest_is_over
from tests.services.world import World, delivered, failed, retrying

CAPS = (2, 3)
ENDS = {"delivered": delivered, "failed": failed}


@dataclass
class Row:
    """What the model knows of a delivery."""

    webhook: int
    status: str = "pending"
    attempts: int = 0
    token: str | None = None
    is_due: bool = True
    log: list[str] = field(default_factory=list)


class Queue(RuleBasedStateMachine):
    """Several workers, some of them too late: `leases` keeps every lease there ever was."""

    world: World

    @initialize()
    def empty(self) -> None:
        self.world.sql("DELETE FROM pggit.delivery_attempts")
        self.world.sql("DELETE FROM pggit.alert_delivery_history")
        self.world.sql("DELETE FROM pggit.alert_delivery_queue")
        self.world.sql("DELETE FROM pggit.alerts")
        # Neither has a key that would take them along.
        self.world.sql("DELETE FROM pggit.alert_delivery_history")
        self.world.sql("DELETE FROM pggit.delivery_attempts")
        self.world.sql("DELETE FROM pggit.webhooks")
        self.caps = {self.world.webhook(max_in_flight=cap): cap for cap in CAPS}
        self.gates = dict.fromkeys(self.caps, Gate.OPEN)
        self.rows: dict[int, Row] = {}
        self.leases: list[Claim] = []
        self.tokens: set[str] = set()

    # What a worker does.

    @rule(room=st.integers(1, 6), data=st.data())
    def claim(self, room: int, data: st.DataObject) -> None:
        after = data.draw(st.sampled_from([0, *self.caps]), "after")
        rooms = {webhook: self._room_of(webhook) for webhook in self.caps}
        claimed = self.world.claim(room, after)
        assert len({one.id for one in claimed}) == len(claimed) == min(room, sum(rooms.values()))
        taken = Counter(one.webhook_id for one in claimed)
        assert all(count <= rooms[webhook] for webhook, count in taken.items()), "over a cap"
        for one in claimed:
            row = self.rows[one.id]
            assert row.status in {"pending", "retrying"}, "it was finished"
            assert row.is_due, "somebody has it, or it waits"
            assert one.lease_token not in self.tokens, "a token came twice"
            is_trial = self.gates[row.webhook] is Gate.HALF_OPEN
            assert (Standing.TRIAL in one.standing) is is_trial
            if row.token is not None:
                row.log.append("worker_lost")
            row.attempts += 1
            row.token, row.is_due = one.lease_token, False
            assert one.attempt == row.attempts
            self.tokens.add(one.lease_token)
            self.leases.append(one)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        some = self._some_leases(data)
        live = {one.id for one in some if self._is_live(one)}
        assert self.world.renew(*some) == live
        for delivery in live:
            self.rows[delivery].is_due = False

    @rule(data=st.data(), how=st.sampled_from(["delivered", "failed", "retry", "retry later"]))
    def complete(self, data: st.DataObject, how: str) -> None:
        some = self._some_leases(data)
        live = {one.id for one in some if self._is_live(one)}
        assert self.world.complete(*[self._completion(one, how) for one in some]) == live
        for delivery in live:
            row = self.rows[delivery]
            row.token = None
            row.status = how if how in ENDS else "retrying"
            row.is_due = how == "retry"
            reasons = {"delivered": "accepted", "failed": "rejected"}
            row.log.append(reasons.get(how, "server_error"))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        some = self._some_leases(data)
        live = {one.id for one in some if self._is_live(one)}
        self.world.release(*some)
        for delivery in live:
            row = self.rows[delivery]
            row.status, row.token, row.is_due = "retrying", None, True
            row.log.append("worker_stopped")

    # What happens to it.

    @rule(data=st.data(), count=st.integers(1, 3))
    def owe(self, data: st.DataObject, count: int) -> None:
        webhook = data.draw(st.sampled_from(list(self.caps)), "webhook")
        for delivery in self.world.owe(webhook, count):
            self.rows[delivery] = Row(webhook)

    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """A lease runs out, or a backoff is over."""
        waiting = [
            delivery
            for delivery, row in self.rows.items()
            if row.status in {"pending", "retrying"} and not row.is_due
        ]
        if waiting:
            delivery = data.draw(st.sampled_from(waiting), "delivery")
            self.world.expire(delivery)
            self.rows[delivery].is_due = True

    @rule(data=st.data())
    def delete_webhook(self, data: st.DataObject) -> None:
        """What it is owed is cancelled, leased or not; another takes its place."""
        webhook = data.draw(st.sampled_from(list(self.caps)), "webhook")
        self.world.delete_webhook(webhook)
        for row in self.rows.values():
            if row.webhook == webhook and row.status in {"pending", "retrying"}:
                row.status, row.token, row.is_due = "cancelled", None, False
        another = self.world.webhook(max_in_flight=self.caps[webhook])
        self.caps[another] = self.caps.pop(webhook)
        del self.gates[webhook]
        self.gates[another] = Gate.OPEN

    @precondition(lambda self: Gate.OPEN in self.gates.values())
    @rule(data=st.data())
    def gate_closes(self, data: st.DataObject) -> None:
        webhook = self._one_with(data, Gate.OPEN)
        hear(self.world, TrafficWatch(), webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
        self.gates[webhook] = Gate.CLOSED

    @precondition(lambda self: Gate.CLOSED in self.gates.values())
    @rule(data=st.data())
    def its_rest_is_over(self, data: st.DataObject) -> None:
        webhook = self._one_with(data, Gate.CLOSED)
        rest_is_over(self.world, webhook)
        self.gates[webhook] = Gate.HALF_OPEN

    @precondition(lambda self: Gate.HALF_OPEN in self.gates.values())
    @rule(data=st.data(), opens=st.booleans())
    def its_trial_ends(self, data: st.DataObject, opens: bool) -> None:
        """Or somebody opens it: after a trial it would open at a pace, which is another matter."""
        webhook = self._one_with(data, Gate.HALF_OPEN)
        if opens:
            with self.world.deps.unit_of_work() as work:
                open_by_hand(work.session, webhook)
        else:
            trial = (Reason.SERVER_ERROR, Standing.TRIAL)
            hear(self.world, TrafficWatch(), webhook, 1.0, trial)
        self.gates[webhook] = Gate.OPEN if opens else Gate.CLOSED

    # What holds at any time.

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        found = {
            delivery: Row(webhook, status, attempts, token, is_due, logs or [])
            for delivery, webhook, status, attempts, token, is_due, logs in self.world.sql(
                "SELECT id, webhook_id, status, attempts_made,"
                " (SELECT lease_token::text FROM pggit.alert_delivery_queue WHERE id = q.id),"
                " status IN ('pending', 'retrying')"
                " AND next_attempt_at <= statement_timestamp(),"
                " (SELECT array_agg(reason ORDER BY id) FROM pggit.delivery_attempts"
                " WHERE delivery_id = q.id)"
                " FROM pggit.deliveries q"
            )
        }
        assert found == self.rows

    def _room_of(self, webhook: int) -> int:
        """How many a claim may take of a webhook: what is due, within its cap and its gate."""
        rows = [row for row in self.rows.values() if row.webhook == webhook]
        busy = sum(row.token is not None and not row.is_due for row in rows)
        room = {
            Gate.OPEN: self.caps[webhook] - busy,
            Gate.HALF_OPEN: 0 if busy else 1,
            Gate.CLOSED: 0,
        }[self.gates[webhook]]
        return max(0, min(room, sum(row.is_due for row in rows)))

    def _one_with(self, data: st.DataObject, gate: Gate) -> int:
        found = [webhook for webhook, is_ in self.gates.items() if is_ is gate]
        return data.draw(st.sampled_from(found), "webhook")

    def _is_live(self, lease: Claim) -> bool:
        return self.rows[lease.id].token == lease.lease_token

    def _some_leases(self, data: st.DataObject) -> list[Claim]:
        """Some of all leases there ever were, one for each delivery."""
        if not self.leases:
            return []
        return data.draw(
            st.lists(st.sampled_from(self.leases), max_size=4, unique_by=lambda one: one.id),
            "leases",
        )

    @staticmethod
    def _completion(lease: Claim, how: str) -> Completion:
        if how in ENDS:
            return ENDS[how](lease)
        return retrying(lease, 0.0 if how == "retry" else 1000.0)


def test_whatever_workers_do_the_queue_is_as_the_model_says(world: World) -> None:
    """One live lease for each delivery, attempts only grow, what is finished is never claimed."""

    Queue.world = world
    run_machine(
        Queue,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
