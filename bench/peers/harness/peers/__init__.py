"""The peers, by name, in the order of a round."""

from .capstan import Capstan
from .dbos import Dbos
from .floor import Floor
from .graphile_worker import GraphileWorker
from .restate import Restate

PEERS = {peer.name: peer for peer in (Capstan, Floor, Restate, GraphileWorker, Dbos)}
