"""A nats-server on empty data, with the settings of `capstan dev`."""

from .program import Program, free_port, listens

SYNC_INTERVAL = {"always": "always", "interval": "100ms"}


def start(keep, scratch, server, durability):
    """Starts it and returns its program and URL."""
    folder = scratch.fresh("nats")
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(
        f"""
        listen: "127.0.0.1:{port}"
        max_payload: 8388608
        write_deadline: "10s"
        jetstream {{
          store_dir: "{folder}/data"
          sync_interval: "{SYNC_INTERVAL[durability]}"
        }}
        """
    )
    program = keep(Program("nats-server", [server, "--config", config], scratch.data / "nats-server.log"))
    program.wait_for(lambda: listens(port))
    return program, f"nats://127.0.0.1:{port}"
