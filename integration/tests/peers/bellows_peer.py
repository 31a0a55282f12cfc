"""An independent EZSP host (bellows and zigpy) that uses the stick's twin as it would use a real one.

Each line on stdin is a step, each answer one line of JSON on stdout. It judges nothing: the test that runs it does.
"""

import asyncio
import contextlib
import json
import logging
import sys

import bellows.zigbee.application
import zigpy.types as t


def say(**words):
    print(json.dumps(words), flush=True)


class Commands:
    """Tells what a cluster of a device says, as zigpy understands it."""

    def __init__(self, cluster):
        self.cluster = cluster

    def cluster_command(self, tsn, command_id, args):
        known = self.cluster.server_commands if self.cluster.is_client else self.cluster.client_commands
        say(
            heard="command",
            of=int(self.cluster.cluster_id),
            name=known[command_id].name if command_id in known else hex(command_id),
            tsn=int(tsn),
            fields=fields(args),
        )


def fields(args):
    return {name: str(value) for name, value in args.as_dict().items()} if hasattr(args, "as_dict") else str(args)


def value(word):
    return int(word, 0) if word.lstrip("-").replace("0x", "", 1).isalnum() and word[:1].isdigit() else word.strip("'")


class Listener:
    """Tells what comes from detectors, byte for byte."""

    def device_joined(self, device):
        say(heard="joined", ieee=str(device.ieee), nwk=device.nwk)

    def device_left(self, device):
        say(heard="left", ieee=str(device.ieee))

    def device_initialized(self, device):
        for number, endpoint in device.endpoints.items():
            if number:
                for cluster in [*endpoint.in_clusters.values(), *endpoint.out_clusters.values()]:
                    cluster.add_listener(Commands(cluster))
        endpoints = {
            number: {
                "profile": endpoint.profile_id,
                "device": int(endpoint.device_type),
                "inputs": sorted(endpoint.in_clusters),
                "outputs": sorted(endpoint.out_clusters),
            }
            for number, endpoint in device.endpoints.items()
            if number
        }
        say(
            heard="initialized",
            ieee=str(device.ieee),
            manufacturer=device.manufacturer,
            model=device.model,
            endpoints=endpoints,
        )


class Host:
    def __init__(self, path):
        self.path = path
        self.app = None

    async def start(self):
        config = {
            "device": {"path": self.path, "baudrate": 115200},
            "database_path": None,
            "ota": {"enabled": False},
            "backup_enabled": False,
            "topology_scan_enabled": False,
        }
        app_class = bellows.zigbee.application.ControllerApplication
        app = app_class(config)
        app.add_listener(Listener())
        received = app.packet_received

        def packet_received(packet):
            say(
                heard="packet",
                nwk=int(packet.src.address),
                profile=int(packet.profile_id),
                cluster=int(packet.cluster_id),
                endpoint=int(packet.src_ep),
                lqi=packet.lqi,
                rssi=packet.rssi,
                payload=packet.data.serialize().hex(),
            )
            received(packet)

        app.packet_received = packet_received
        lost = app.connection_lost

        def connection_lost(error):
            say(heard="connection_lost", error=repr(error))
            lost(error)

        app.connection_lost = connection_lost
        await app.startup(auto_form=True)
        self.app = app
        info, node = app.state.network_info, app.state.node_info
        return {
            "version": app._ezsp.ezsp_version,
            "key": info.network_key.key.serialize().hex(),
            "counter": int(info.network_key.tx_counter),
            "pan": int(info.pan_id),
            "extended_pan": str(info.extended_pan_id),
            "channel": int(info.channel),
            "ieee": str(node.ieee),
        }

    async def stop(self):
        await self.app.shutdown()
        self.app = None
        return {}

    async def permit(self, seconds):
        await self.app.permit(int(seconds))
        return {}

    async def permit_with_key(self, ieee, key):
        await self.app.permit_with_link_key(t.EUI64.convert(ieee), t.KeyData(bytes.fromhex(key)), 60)
        return {}

    def zone(self, ieee):
        device = self.app.devices[t.EUI64.convert(ieee)]
        endpoint = next(e for n, e in device.endpoints.items() if n and 0x0500 in e.in_clusters)
        return endpoint.in_clusters[0x0500]

    async def enrol(self, ieee, zone):
        cluster = self.zone(ieee)
        await cluster.bind()
        await cluster.write_attributes({"cie_addr": self.app.state.node_info.ieee})
        await cluster.enroll_response(enroll_response_code=0, zone_id=int(zone))
        read, failed = await cluster.read_attributes(["zone_state", "zone_type", "zone_status", "cie_addr"])
        return {"attributes": {name: str(value) for name, value in read.items()}, "failed": str(failed)}

    async def read_zone(self, ieee):
        read, _ = await self.zone(ieee).read_attributes(["zone_status"])
        return {"status": int(read["zone_status"])}

    def cluster(self, ieee, cluster):
        device = self.app.devices[t.EUI64.convert(ieee)]
        wanted = int(cluster, 0)
        for number, endpoint in device.endpoints.items():
            if number:
                for clusters in (endpoint.in_clusters, endpoint.out_clusters):
                    if wanted in clusters:
                        return clusters[wanted]
        raise LookupError(f"{ieee} has no cluster {cluster}")

    async def bind(self, ieee, cluster):
        return {"status": str((await self.cluster(ieee, cluster).bind())[0])}

    async def call(self, ieee, cluster, name, *args):
        answer = await getattr(self.cluster(ieee, cluster), name)(*map(value, args))
        return {"answer": fields(answer)}

    async def tell(self, ieee, cluster, name, tsn, *args):
        known = self.cluster(ieee, cluster)
        command = next(number for number, command in known.client_commands.items() if command.name == name)
        await known.client_command(command, *map(value, args), tsn=int(tsn))
        return {}

    async def read(self, ieee, cluster, *names):
        read, failed = await self.cluster(ieee, cluster).read_attributes(list(names))
        return {"attributes": {str(name): str(of) for name, of in read.items()}, "failed": str(failed)}

    async def write(self, ieee, cluster, name, of):
        await self.cluster(ieee, cluster).write_attributes({name: value(of)})
        return {}

    async def report(self, ieee, cluster, name):
        done = await self.cluster(ieee, cluster).configure_reporting(name, 0, 300, 1)
        return {"status": [str(status) for status in done.values()]}

    async def energy(self):
        levels = await self.app.energy_scan(t.Channels.ALL_CHANNELS, 1, 1)
        loudest = max(levels, key=levels.get)
        return {"channels": len(levels), "loudest": int(loudest), "level": levels[loudest]}

    async def leave(self, ieee):
        await self.app.devices[t.EUI64.convert(ieee)].zdo.leave()
        return {}


async def main():
    logging.basicConfig(level=logging.DEBUG if "--debug" in sys.argv else logging.CRITICAL, stream=sys.stderr)
    host = Host(sys.argv[1])
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        step, *words = line
        try:
            say(done=step, **await getattr(host, step)(*words))
        except Exception as error:  # whatever it is, the test reads it
            logging.debug("%s", step, exc_info=True)
            say(failed=step, error=repr(error))
    if host.app is not None:
        with contextlib.suppress(Exception):  # the stick may be gone
            await host.app.shutdown()


asyncio.run(main())
