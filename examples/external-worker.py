"""Serves the tool `report` over Kafka: pip install confluent-kafka; KAFKA_BROKERS=127.0.0.1:9092 python external-worker.py"""
import json, os, time, uuid
from datetime import datetime, timezone
from confluent_kafka import Consumer, Producer

POOL = "report"
PREFIX = os.environ.get("TOPIC_PREFIX", "")
BROKERS = {"bootstrap.servers": os.environ["KAFKA_BROKERS"]}
done = {}  # effect id -> outcome; keep it in your database if a repeated call would do something twice

def report(arguments, key):
    """The tool itself. `key` is the same for every attempt: hand it on as idempotency key."""
    if not arguments["title"].strip():
        raise ValueError("a report needs a title")
    return {"title": arguments["title"], "pages": len(arguments["title"])}

def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

def answer(producer, request, headers):
    body, started = request["payload"], now()
    if time.time() * 1000 > body["not_after_ms"]:
        return  # too late: nobody waits for it any more
    key = body["effect_id"]
    if key not in done:
        try:
            done[key] = {"ok": report(body["arguments"], key)}
        except Exception as error:  # "retryable": another attempt may help
            done[key] = {"error": {"kind": "refused", "message": str(error), "retryable": False}}
    version, step = key.rsplit(":", 2)[1:]
    result = {"version": int(version), "step": step, "attempt": body["attempt"], "outcome": done[key],
              "worker": f"python/{POOL}", "started_at": started, "finished_at": now()}
    event = {"id": str(uuid.uuid4()), "type": "ToolInvocationResulted", "version": 1,
             "conversation_id": request["conversation_id"], "command_id": request["command_id"], "at": now(),
             "causation_id": request["id"], "payload": result}
    failed = []
    producer.produce(PREFIX + headers["callboard-reply-topic"], json.dumps(event), headers["callboard-reply-key"],
                     int(headers["callboard-reply-partition"]), lambda error, _: error and failed.append(error))
    if producer.flush(30) or failed:
        raise SystemExit(f"the answer was not taken: {failed}")  # not committed: the next start answers again

def main():
    consumer = Consumer(BROKERS | {"group.id": f"{PREFIX}callboard-pool-{POOL}", "auto.offset.reset": "earliest",
                                   "enable.auto.commit": False})
    producer = Producer(BROKERS)
    consumer.subscribe([PREFIX + "tool-invocation-requests"])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        headers = {name: value.decode() for name, value in message.headers() or []}
        if headers.get("callboard-pool") == POOL:  # the others belong to other pools
            request = json.loads(message.value())
            if request["type"] == "ToolInvocationRequested":
                answer(producer, request, headers)
        consumer.commit(message)

main()
