import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const VERSION = 'version=2026-03-24&generation=2';
/** A writer that begins policies does not reach the quota. */
const MAX_POLICIES = 8;
const PAUSE_MS = 60;

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** A request over the Unix socket of a server. @throws when there is no whole answer */
export function overSocket(socketPath: string, method: string, path: string, body?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json' };
    const url = `${path}?${VERSION}`;
    const call = request({ socketPath, method, path: url, headers, timeout: 10_000 }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        answer += part;
      });
      response.once('error', reject);
      response.once('end', () =>
        response.complete
          ? resolve({
              status: response.statusCode!,
              body: answer === '' ? undefined : (JSON.parse(answer) as Record<string, unknown>),
            })
          : reject(new Error('the answer broke off')),
      );
    });
    call.once('timeout', () => call.destroy(new Error('no answer for 10 s')));
    call.once('error', reject);
    call.end(text);
  });
}

/**
 * Writes IKE policies without end and keeps book of what the server acknowledged, so that it can be held against
 * the store at any time. A write that was refused must not be there; one without an answer may be.
 */
export class StoreDiary {
  readonly #socket: string;
  /** Ids and lifetimes of what is there for sure. */
  readonly #kept = new Map<string, number>();
  /** Lifetimes that may have taken the place of the known one; undefined: the policy may be gone. */
  readonly #unsure = new Map<string, number | undefined>();
  /** Names that may have been created without an answer. */
  readonly #perhaps = new Set<string>();
  readonly faults: string[] = [];
  #running = true;
  #paused = false;
  #turn: Promise<void> = Promise.resolve();
  acknowledged = 0;
  refused = 0;
  unanswered = 0;

  constructor(socketPath: string) {
    this.#socket = socketPath;
    this.#turn = this.#write();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#turn;
  }

  /** No write is begun while `act` runs. */
  async pausedFor(act: () => Promise<void>): Promise<void> {
    this.#paused = true;
    await act();
    this.#paused = false;
  }

  async #write(): Promise<void> {
    for (let n = 0; this.#running; n++) {
      while (this.#paused && this.#running) await sleep(PAUSE_MS);
      if (this.#kept.size >= MAX_POLICIES) await this.#delete();
      else if (n % 3 === 2 && this.#kept.size > 0) await this.#patch(n);
      else await this.#create(n);
      await sleep(PAUSE_MS);
    }
  }

  async #create(n: number): Promise<void> {
    const name = `diary-${n}`;
    const lifetime = 1800 + n;
    const fields = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 };
    const body = { name, ...fields, ike_version: 2, key_lifetime: lifetime };
    const answer = await this.#ask('POST', '/v1/ike_policies', body);
    if (answer === undefined) this.#perhaps.add(name);
    else if (answer.status === 201) this.#kept.set(answer.body!.id as string, lifetime);
  }

  async #patch(n: number): Promise<void> {
    const id = [...this.#kept.keys()].at(-1)!;
    const lifetime = 1800 + n;
    const answer = await this.#ask('PATCH', `/v1/ike_policies/${id}`, { key_lifetime: lifetime });
    if (answer === undefined) this.#unsure.set(id, lifetime);
    else if (answer.status === 200) {
      this.#kept.set(id, lifetime);
      this.#unsure.delete(id);
    }
  }

  async #delete(): Promise<void> {
    const id = [...this.#kept.keys()][0]!;
    const answer = await this.#ask('DELETE', `/v1/ike_policies/${id}`);
    const gone = answer?.status === 204 || (answer?.status === 404 && this.#unsure.has(id));
    if (gone) {
      this.#kept.delete(id);
      this.#unsure.delete(id);
    } else if (answer === undefined) this.#unsure.set(id, undefined);
  }

  async #ask(method: string, path: string, body?: object): Promise<Answer | undefined> {
    try {
      const answer = await overSocket(this.#socket, method, path, body);
      if (answer.status < 300) this.acknowledged++;
      else {
        this.refused++;
        const code = (answer.body?.errors as { code: string }[] | undefined)?.[0]?.code ?? '';
        const late = method === 'DELETE' && answer.status === 404;
        if (!late && !['store_full', 'store_unavailable'].includes(code))
          this.faults.push(`${method} ${path}: ${answer.status} ${code}`);
      }
      return answer;
    } catch {
      this.unanswered++;
      return undefined;
    }
  }

  /** Holds the book against what the server has; the writer must have been stopped. */
  async compare(): Promise<void> {
    const { body } = await overSocket(this.#socket, 'GET', '/v1/ike_policies');
    const policies = body!.ike_policies as { id: string; name: string; key_lifetime: number }[];
    const there = new Map(policies.map((one) => [one.id, one]));
    for (const [id, lifetime] of this.#kept) {
      const found = there.get(id)?.key_lifetime;
      const wanted = this.#unsure.has(id) ? [lifetime, this.#unsure.get(id)] : [lifetime];
      if (!wanted.includes(found)) this.faults.push(`${id}: ${found} instead of ${wanted.join(' or ')}`);
    }
    for (const { id, name } of policies) {
      if (name.startsWith('diary-') && !this.#kept.has(id) && !this.#perhaps.has(name))
        this.faults.push(`${name} is there and should not be`);
    }
  }
}
