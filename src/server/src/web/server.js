// Talking to the server: requests with the key, the records of a conversation as they are written, and whether the
// process is there at all. `link` says when it goes, when it is back, and after how long.
"use strict";

const BEAT_MS = 1000;
// A process that is started again needs some hundred milliseconds; nobody should wait for the page.
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2000;
const LOOK_TIMEOUT_MS = 3000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// state: "unknown", "up", "not-ready" (the process is there), "gone".
export const link = Object.assign(new EventTarget(), {
  state: "unknown", about: null, why: "", downSince: 0, lastDown: null,
});

function keyHeader() {
  const key = sessionStorage.getItem("callboard-key");
  return key ? { "X-Api-Key": key } : {};
}

export async function call(path, options = {}) {
  const headers = { ...(options.headers || {}), ...keyHeader() };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    poke();
    throw new Error("The server does not answer. It may be starting again; what it accepted is safe.");
  }
  if (response.status === 401) {
    const given = window.prompt("This server asks for a key:");
    if (given) {
      sessionStorage.setItem("callboard-key", given.trim());
      return call(path, options);
    }
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(body.detail || body.title || `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return body;
}

// A conversation's records, each once and in order, from the first; reconnects by itself until `signal` says stop.
export async function follow(path, onRecord, signal) {
  let last = "";
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", ...keyHeader() };
      if (last) headers["Last-Event-ID"] = last;
      const response = await fetch(path, { headers, signal, cache: "no-store" });
      if (response.ok) {
        for await (const event of events(response.body)) {
          pause = FIRST_PAUSE_MS;
          last = event.id || last;
          if (event.data) onRecord(JSON.parse(event.data));
        }
      }
    } catch {
      // The process went away in the middle of the stream; the link finds out at once.
    }
    if (signal.aborted) return;
    poke();
    await sleep(pause);
    pause = Math.min(pause * 2, MAX_PAUSE_MS);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = { id: "", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) event.id = line.slice(4);
        if (line.startsWith("data: ")) event.data += line.slice(6);
      }
      yield event;
    }
  }
}

let wake = () => {};

// Something failed: look at once instead of at the next beat.
export function poke() {
  if (link.state !== "gone") wake();
}

async function look() {
  const signal = AbortSignal.timeout(LOOK_TIMEOUT_MS);
  try {
    const response = await fetch("/readyz", { signal, cache: "no-store" });
    const body = await response.json();
    if (!body.ready) return { state: "not-ready", why: (body.waiting_for || []).join("; ") };
  } catch {
    return { state: "gone", why: "" };
  }
  return { state: "up", why: "" };
}

async function beat() {
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    const seen = await look();
    const was = link.state;
    if (seen.state === "up" && was !== "up") {
      link.about = await call("/page.json").catch(() => link.about);
      link.lastDown = link.downSince ? performance.now() - link.downSince : null;
      link.downSince = 0;
    }
    if (seen.state !== "up" && !link.downSince) link.downSince = performance.now();
    link.state = seen.state;
    link.why = seen.why;
    if (was !== seen.state) link.dispatchEvent(new CustomEvent("change", { detail: { was } }));
    if (seen.state === "up") {
      pause = FIRST_PAUSE_MS;
      await Promise.race([sleep(BEAT_MS), new Promise((resolve) => { wake = resolve; })]);
    } else {
      await sleep(pause);
      pause = Math.min(pause * 1.5, MAX_PAUSE_MS);
    }
  }
}

export function start() { beat(); }
