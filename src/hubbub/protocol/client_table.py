"""The state machine of a client: which input counts in which state, what is done, where it leads.

`does` names a method of `ClientSession`. An input without a row cannot happen in that state.
"""

from typing import NamedTuple, get_args

from hubbub.protocol.client_events import (
    Cancel,
    CancelStart,
    Input,
    Reading,
    Received,
    SocketFailed,
    SocketLost,
    SocketOpened,
    Start,
    State,
    Stop,
    Submit,
    Timer,
    Undecodable,
    UrlFailed,
    UrlObtained,
)
from hubbub.protocol.client_stream_events import StreamInput

STOPPED, CONNECTING, CONNECTED = State.STOPPED, State.CONNECTING, State.CONNECTED
RECOVERING, RECONNECTING, STOPPING = State.RECOVERING, State.RECONNECTING, State.STOPPING
_ALL = tuple(State)


class Row(NamedTuple):
    does: str
    to: frozenset[State]


def _row(does: str, *to: State) -> Row:
    return Row(does, frozenset(to))


Trigger = type[Input] | Timer

TABLE: dict[tuple[State, Trigger], Row] = {
    # --- stopped ------------------------------------------------------------------------------
    (STOPPED, Start): _row("start", CONNECTING),
    (STOPPED, CancelStart): _row("ignore", STOPPED),
    (STOPPED, Stop): _row("ignore", STOPPED),
    (STOPPED, Submit): _row("refuse", STOPPED),
    # --- the first connection -----------------------------------------------------------------
    (CONNECTING, UrlObtained): _row("open_socket", CONNECTING),
    (CONNECTING, UrlFailed): _row("fail_start", CONNECTING, STOPPED),
    (CONNECTING, SocketOpened): _row("await_connected", CONNECTING),
    (CONNECTING, SocketFailed): _row("fail_start", CONNECTING, STOPPED),
    (CONNECTING, SocketLost): _row("fail_start", CONNECTING, STOPPED),
    (CONNECTING, Timer.TRY): _row("fail_start", CONNECTING, STOPPED),
    (CONNECTING, Timer.START): _row("time_out_start", STOPPED),
    (CONNECTING, Timer.PAUSE): _row("get_url", CONNECTING),
    (CONNECTING, Received): _row("take_first_frame", CONNECTING, CONNECTED),
    (CONNECTING, CancelStart): _row("cancel_start", STOPPED),
    (CONNECTING, Stop): _row("stop", STOPPING, STOPPED),
    # --- up -----------------------------------------------------------------------------------
    (CONNECTED, Received): _row("take_frame", CONNECTED),
    (CONNECTED, Undecodable): _row("report_gap", CONNECTED),
    (CONNECTED, SocketLost): _row("end_socket", RECOVERING, RECONNECTING, STOPPED),
    (CONNECTED, Timer.KEEP_ALIVE): _row("keep_alive", CONNECTED, RECOVERING, RECONNECTING, STOPPED),
    (CONNECTED, Timer.SEQUENCE_ACK): _row("write_sequence_ack", CONNECTED),
    (CONNECTED, Timer.STREAM): _row("expire_streams", CONNECTED),
    (CONNECTED, Timer.REJOIN): _row("end_rejoin", CONNECTED),
    (CONNECTED, Stop): _row("stop", STOPPING),
    # --- the same connection on a new socket --------------------------------------------------
    (RECOVERING, Timer.PAUSE): _row("try_recovery", RECOVERING),
    (RECOVERING, SocketOpened): _row("await_proof", RECOVERING),
    (RECOVERING, Received): _row("take_proof", CONNECTED, RECOVERING),
    (RECOVERING, Undecodable): _row("take_bad_proof", CONNECTED),
    (RECOVERING, SocketFailed): _row("fail_recovery", RECOVERING, RECONNECTING, STOPPED),
    (RECOVERING, SocketLost): _row("fail_recovery", RECOVERING, RECONNECTING, STOPPED),
    (RECOVERING, Timer.TRY): _row("fail_recovery", RECOVERING, RECONNECTING, STOPPED),
    (RECOVERING, Timer.WINDOW): _row("give_up_recovery", RECONNECTING, STOPPED),
    (RECOVERING, Stop): _row("stop", STOPPING, STOPPED),
    # --- a new connection after a loss --------------------------------------------------------
    (RECONNECTING, Timer.PAUSE): _row("get_url", RECONNECTING),
    (RECONNECTING, UrlObtained): _row("open_socket", RECONNECTING),
    (RECONNECTING, UrlFailed): _row("fail_reconnect", RECONNECTING, STOPPED),
    (RECONNECTING, SocketOpened): _row("await_connected", RECONNECTING),
    (RECONNECTING, SocketFailed): _row("fail_reconnect", RECONNECTING, STOPPED),
    (RECONNECTING, SocketLost): _row("fail_reconnect", RECONNECTING, STOPPED),
    (RECONNECTING, Timer.TRY): _row("fail_reconnect", RECONNECTING, STOPPED),
    (RECONNECTING, Received): _row("take_first_frame", RECONNECTING, CONNECTED),
    (RECONNECTING, Stop): _row("stop", STOPPING, STOPPED),
    # --- going --------------------------------------------------------------------------------
    (STOPPING, Received): _row("take_last_frame", STOPPING),
    (STOPPING, SocketLost): _row("finish_stop", STOPPED),
    (STOPPING, Timer.CLOSE): _row("finish_stop", STOPPED),
    (STOPPING, Submit): _row("refuse", STOPPING),
    (STOPPING, Stop): _row("ignore", STOPPING),
    # --- the same everywhere ------------------------------------------------------------------
    **{(s, Start): _row("refuse_start", s) for s in _ALL if s is not STOPPED},
    **{(s, CancelStart): _row("ignore", s) for s in _ALL if s not in (STOPPED, CONNECTING)},
    **{(s, Undecodable): _row("ignore", s) for s in _ALL if s not in (CONNECTED, RECOVERING)},
    **{(s, Submit): _row("submit", s) for s in _ALL if s not in (STOPPED, STOPPING)},
    **{(s, Cancel): _row("cancel", s) for s in _ALL},
    **{(s, asked): _row("take_stream_input", s) for s in _ALL for asked in get_args(StreamInput)},
    **{(s, Reading): _row("note_reading", s) for s in _ALL},
    **{(s, Timer.OPERATION): _row("expire", s) for s in _ALL if s is not STOPPED},
}
