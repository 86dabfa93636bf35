import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ControlSupervision, listenControl } from '../../src/daemon/control/server.js';
import type { CoreConfig } from '../../src/daemon/core/config-in-force.js';
import { planReload } from '../../src/daemon/gateway/reload.js';
import { decodeDesired, encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { createLogger } from '../../src/telemetry/log.js';
import { ODD } from '../helpers/api-shapes.js';
import { EXAMPLE_KEY, exampleGateway } from '../helpers/example-gateway.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { RequestMutator } from '../helpers/request-mutator.js';
import type { SeededRandom } from '../helpers/seeded-random.js';
import { type FuzzPart, hold } from './part.js';

const LINES = 40;
/** Lines that end what was begun: they come last. */
const LAST = { id: 'last', method: 'status' };

/** What a supervised gateway does with desired state before it touches the machine. */
class Configured implements ControlSupervision {
  #now: CoreConfig | undefined;

  attach() {
    return { pid: 1, version: '0', configured: this.#now !== undefined };
  }

  names() {
    return { gateway: null, connections: {} };
  }

  prepare(desired: Readonly<Record<string, unknown>>) {
    decodeDesired(desired).discard();
    return { prepared: true } as const;
  }

  take() {
    return { ok: true };
  }

  release() {
    return { released: true } as const;
  }

  async configure(desired: Readonly<Record<string, unknown>>) {
    const { config } = decodeDesired(desired);
    const engine = (one: CoreConfig) => toEngineConfig(one.file, one.psks, new Map());
    engine(config);
    if (this.#now !== undefined) planReload(this.#now, config, engine);
    this.#now = config;
    return { ok: true };
  }
}

function lineOf(mutator: RequestMutator, random: SeededRandom): string {
  const desired = JSON.parse(JSON.stringify(encodeDesired(exampleGateway('to-b'))));
  const requests: unknown[] = [
    ...['status', 'up', 'down', 'explain'].map((method) => ({ id: 1, method, params: { name: 'c' } })),
    { id: 2, method: 'reload', params: { dry_run: true } },
    { id: 3, method: 'up', params: { name: 'c', wait: true, timeout: 0.001 } },
    ...['attach', 'watch'].map((method) => ({ id: 4, method })),
  ];
  let request = mutator.pick(requests);
  if (mutator.chance(0.5)) {
    let params: unknown = desired;
    while (mutator.chance(0.6)) params = mutator.anywhere(params);
    request = { id: 5, method: 'configure', params };
  } else if (mutator.chance(0.1)) request = mutator.pick(ODD);
  else if (mutator.chance(0.8)) {
    do request = mutator.value(request);
    while (mutator.chance(0.4));
  }
  const text = JSON.stringify(request);
  if (mutator.chance(0.9)) return text;
  return mutator.chance(0.5) ? mutator.text(text) : Buffer.from(random.bytes(20)).toString('latin1');
}

/** Sends lines and reads until the answer to the last has come or the other end has hung up. */
function exchange(path: string, lines: readonly string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    const finish = (): void => {
      socket.destroy();
      resolve(text.split('\n').filter((line) => line !== ''));
    };
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('"id":"last"')) finish();
    });
    socket.on('close', finish);
    socket.on('error', reject);
    socket.write(
      `${[...lines, JSON.stringify(LAST)].map((line) => line.replaceAll('\n', ' ')).join('\n')}\n`,
    );
  });
}

interface Answer {
  readonly event?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

async function run(random: SeededRandom): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-fuzz-'));
  const path = join(folder, 'control.sock');
  const logged: string[] = [];
  const logger = createLogger({ level: 'error', destination: { write: (line) => void logged.push(line) } });
  const server = await listenControl(path, logger, new Configured());
  try {
    server.serve(new FakeDaemon());
    const mutator = new RequestMutator(random);
    const lines = Array.from({ length: LINES }, () => lineOf(mutator, random)).filter(
      (line) => line.trim() !== '' && !line.includes('"id":"last"'),
    );
    const answers = (await exchange(path, lines)).map((line) => JSON.parse(line) as Answer);
    for (const { error } of answers) {
      hold(error?.code !== 'internal_error', `internal_error: ${logged.join('')}\n${lines.join('\n')}`);
      hold(error?.message.includes(EXAMPLE_KEY) !== true, `a key is shown: ${error?.message}`);
    }
    hold(logged.length === 0, `an error is logged: ${logged.join('')}`);
    hold(
      answers.some((answer) => 'id' in answer && answer.id === 'last'),
      `no answer any more\n${lines.join('\n')}`,
    );
    return lines.length;
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
}

/**
 * Lines to the control socket of a gateway with a supervisor, desired state among them: whatever they are, they are
 * answered, none with `internal_error`, and the next one is answered as well.
 */
export const controlPart: FuzzPart = { name: 'control', run };
