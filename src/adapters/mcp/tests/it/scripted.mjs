// An MCP server over standard streams that does as it is told, also what no server should do. Plain JSON-RPC: what it
// sends is what stands here.
//
// node scripted.mjs [NOTES [MODE]]: NOTES is a file that it appends what it saw to. MODE is one of
//   garbage   writes lines that are no messages
//   silent    reads and never answers
//   crash     ends at once, with its last words on standard error
//   deaf      ignores the end of its input, and SIGTERM
//   child     as usual, with a process below it that must not outlive it
import { appendFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const [notes, mode = 'usual'] = process.argv.slice(2);
const note = (text) => notes && appendFileSync(notes, text + '\n');
note(`started ${process.pid}`);

if (mode === 'crash') {
  process.stderr.write('loading\nError: the token scripted-secret is no good\n');
  process.exit(3);
}
if (mode === 'garbage') {
  setInterval(() => process.stdout.write('Hello, I am listening on 3000\n{"half": \n[1,2]\n'), 20);
}
if (mode === 'deaf') {
  process.on('SIGTERM', () => note('SIGTERM'));
  setInterval(() => {}, 1000);
}
if (mode === 'child') {
  const child = spawn('sleep', ['600'], { stdio: 'inherit' });
  note(`child ${child.pid}`);
}

const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');
const text = (words) => ({ content: [{ type: 'text', text: words }] });
const object = { type: 'object', properties: { value: {} } };
const tools = new Map();
const add = (name, annotations, run, more = {}) =>
  tools.set(name, { listed: { name, description: `the tool ${name}`, inputSchema: object, annotations, ...more }, run });

const pure = { readOnlyHint: true };
const idempotent = { readOnlyHint: false, idempotentHint: true, destructiveHint: true };
const additive = { readOnlyHint: false, destructiveHint: false };

add('echo', pure, (args) => text(String(args.value)));
add('put', idempotent, (args) => text(`put ${args.value}`));
add('append', additive, (args) => text(`appended ${args.value}`));
add('send', undefined, (args) => { note(`sent ${args.value}`); return text('sent'); });
add('meta', pure, (_, params) => ({ content: [], structuredContent: params._meta }));
add('env', pure, () => ({ content: [], structuredContent: { ...process.env } }));
add('fail', pure, () => ({ ...text('the disk is full'), isError: true }));
add('fail_unsafe', undefined, () => ({ ...text('the disk is full'), isError: true }));
add('misused', pure, () => ({ ...text('MCP error -32602: Input validation error: value'), isError: true }));
add('error', undefined, (args) => { throw { code: args.value, message: 'as told' }; });
add('odd', undefined, () => ({ neither: 'this nor that' }));
add('big', pure, (args) => text('x'.repeat(args.value)));
add('slow', pure, async (args) => { await new Promise((done) => setTimeout(done, args.value)); return text('at last'); });
add('hang', pure, () => new Promise(() => {}));
add('hang_unsafe', undefined, () => new Promise(() => {}));
add('wedge', pure, () => { for (;;) {} });
add('die', pure, () => process.exit(7));
add('die_unsafe', undefined, () => process.exit(7));
add('deaf_ear', undefined, () => new Promise(() => process.stdin.pause()));
add('no schema', pure, () => text(''), { inputSchema: { type: 'object', properties: { a: { type: 'nonsense' } } } });
add('far', pure, () => text(''), { inputSchema: { type: 'object', properties: { a: { $ref: 'http://127.0.0.1:9/x' } } } });
add('a.b', pure, () => text(''));
add('a/b', pure, () => text(''));
add('x'.repeat(70), pure, () => text(''));
add('long', pure, () => text(''), { description: 'é\u0007'.repeat(2000) });
add('learn', pure, (args) => {
  add(args.value, pure, () => text('new'));
  send({ method: 'notifications/tools/list_changed' });
  return text('learnt');
});
add('forget', pure, (args) => {
  tools.delete(args.value);
  send({ method: 'notifications/tools/list_changed' });
  return text('forgotten');
});

// Two tools a page.
const list = (cursor = '0') => {
  const all = [...tools.values()].map((tool) => tool.listed);
  const next = Number(cursor) + 2;
  return { tools: all.slice(Number(cursor), next), ...(next < all.length && { nextCursor: String(next) }) };
};

const answer = async ({ method, params = {} }) => {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'scripted', version: '1' },
      };
    case 'ping':
      return {};
    case 'tools/list':
      return list(params.cursor);
    case 'tools/call': {
      note(`call ${params.name}`);
      const tool = tools.get(params.name);
      if (!tool) throw { code: -32602, message: `Unknown tool: ${params.name}` };
      return await tool.run(params.arguments ?? {}, params);
    }
    default:
      throw { code: -32601, message: `Method not found: ${method}` };
  }
};

const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const message = JSON.parse(line);
  if (message.method === 'notifications/cancelled') note(`cancelled ${message.params.requestId}`);
  if (message.id === undefined || mode === 'silent' || mode === 'garbage') return;
  try {
    send({ id: message.id, result: await answer(message) });
  } catch (error) {
    send({ id: message.id, error: { code: error.code ?? -32603, message: error.message ?? String(error) } });
  }
});
lines.on('close', () => mode === 'deaf' || process.exit(0));
