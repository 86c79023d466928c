"""The PyPI package `websockets`: subscribes to `execs` and prints what came as one line of JSON.

    python websockets_client.py ws://127.0.0.1:8124/ws
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect

WANTED = 3


async def main(url):
    seen = {"client": "websockets", "messages": []}
    async with connect(url, subprotocols=["pubsub.v1"]) as socket:
        seen["protocol"] = socket.subprotocol
        await socket.send(json.dumps({"op": "subscribe", "id": "first", "topic": "execs"}))
        async for text in socket:
            frame = json.loads(text)
            if frame["op"] in ("welcome", "subscribed"):
                seen[frame["op"]] = frame
            elif frame["op"] == "error":
                sys.exit(text)
            elif frame["op"] == "msg":
                seen["messages"].append(frame)
                if len(seen["messages"]) == WANTED:
                    break
        await socket.close(1000, "seen enough")
        seen["close"] = socket.close_code
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
