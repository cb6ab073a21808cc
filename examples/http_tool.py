# A tool as a service: pip install fastapi uvicorn; uvicorn http_tool:app --port 8000
from fastapi import FastAPI, Header
from pydantic import BaseModel

app = FastAPI()
done: dict[str, dict] = {}  # keep it in your database, with the key as primary key

class Arguments(BaseModel):
    order: str

@app.post("/refund")
def refund(arguments: Arguments, idempotency_key: str = Header()):
    if idempotency_key not in done:  # the same key again is the same refund
        done[idempotency_key] = {"order": arguments.order, "refund": len(done) + 1}
    return done[idempotency_key]
