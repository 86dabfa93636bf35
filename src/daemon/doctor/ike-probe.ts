import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CryptoBackend } from '../../crypto/types.js';
import type { ConnectionConfig, FirstPort } from '../../ike/config.js';
import { Engine } from '../../ike/engine.js';
import type { Failure } from '../../ike/events.js';
import { DEFAULT_LIMITS } from '../../ike/limits.js';
import type { Output, SendOutput } from '../../ike/outputs.js';
import { copyOf, equalBytes } from '../../util/bytes.js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';
import { classifyPort4500, NON_ESP_MARKER_LENGTH, withNonEspMarker } from '../../wire/esp.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import { decodeHeader, IKE_HEADER_LENGTH } from '../../wire/ike/message.js';
import { ExchangeType } from '../../wire/ike/registry.js';
import type { Clock } from '../system/clock.js';
import { systemRandom } from '../system/random.js';

/** What came of a first message to one port. */
export type PortAnswer =
  /** The peer would go on with the negotiation; nothing more was sent, and it forgets the beginning by itself. */
  | { readonly kind: 'answered' }
  /** It speaks IKE and wants none of this. */
  | { readonly kind: 'refused'; readonly failure: Failure }
  | { readonly kind: 'silent'; readonly sent: number }
  /** This host's kernel did not send it, or has learned by ICMP that the port is closed there. */
  | { readonly kind: 'unsent' | 'closed'; readonly message: string };

/** What came of a first message to the ports of a peer. */
export interface IkeAnswer {
  /** Where it went. */
  readonly address: string;
  readonly version: 1 | 2;
  readonly ports: ReadonlyMap<FirstPort, PortAnswer>;
}

/** How a peer is asked. */
export interface IkeProbeOptions {
  /** As the engine would negotiate it. */
  readonly connection: ConnectionConfig;
  /** One of the peer's. */
  readonly address: string;
  readonly crypto: CryptoBackend;
  readonly clock: Clock;
}

/** Long enough for three sendings by the engine's schedule and a slow way back. */
const PATIENCE: Millis = 4000;

/** Of the stateless question, sent twice. */
const VERSION_PATIENCE: Millis = 700;

/**
 * Sends a peer the first message of a negotiation (IKE_SA_INIT, or main mode), made by the engine with the
 * connection's own proposals, and reads no more than the answer. UDP 4500 (RFC 7296 §2.23) is asked without leaving a
 * half-open SA where the peer answers unknown versions: responders bound these, and one of them is owed to port 500.
 */
export async function probeIke(options: IkeProbeOptions): Promise<IkeAnswer> {
  const { connection, address } = options;
  // A connection that begins on 4500 says that nothing but that port is let through.
  const ports: readonly FirstPort[] =
    connection.peer.port === NAT_TRAVERSAL_PORT ? [NAT_TRAVERSAL_PORT] : [IKE_PORT, NAT_TRAVERSAL_PORT];
  const answers = await Promise.all(
    ports.map(async (port) => [port, await probePort(options, port)] as const),
  );
  return { address, version: connection.initiateVersion, ports: new Map(answers) };
}

async function probePort(
  { connection, address, crypto, clock }: IkeProbeOptions,
  port: FirstPort,
): Promise<PortAnswer> {
  const local = connection.local.address;
  let socket: Socket;
  try {
    socket = await open({ local, address, port });
  } catch (error) {
    return { kind: 'unsent', message: oneLine(error) };
  }
  try {
    if (port !== connection.peer.port && (await answersVersion(socket))) return { kind: 'answered' };
    const peer = { ...connection.peer, addresses: [address], port };
    const wanted = { ...connection, peer, adminUp: true, establishMode: 'bidirectional' as const };
    const engine = new Engine({
      crypto,
      random: systemRandom,
      limits: DEFAULT_LIMITS,
      config: { connections: [] },
    });
    engine.handle({ kind: 'configure', config: { connections: [wanted] } }, clock.now());
    return await new Exchange({ engine, socket, clock, local, address, port }).run(wanted.id);
  } finally {
    socket.close();
  }
}

/**
 * Asks port 4500 with a major version that there is not, which a responder answers and forgets (RFC 7296 §2.5:
 * INVALID_MAJOR_VERSION). False says nothing: the answer is a SHOULD.
 */
async function answersVersion(socket: Socket): Promise<boolean> {
  const question = new Uint8Array(IKE_HEADER_LENGTH);
  question.set(systemRandom.bytes(8));
  question.set([0, 0x30, ExchangeType.IKE_SA_INIT, 0x08], 16);
  question[LENGTH_OCTET] = IKE_HEADER_LENGTH;
  const heard = new AbortController();
  const listen = (bytes: Uint8Array): void => {
    if (classifyPort4500(bytes) !== 'ike') return;
    const spi = bytes.subarray(NON_ESP_MARKER_LENGTH, NON_ESP_MARKER_LENGTH + 8);
    if (equalBytes(spi, question.subarray(0, 8))) heard.abort();
  };
  // What keeps it from being sent is reported of the message that follows.
  const ignore = (): void => undefined;
  socket.on('message', listen).on('error', ignore);
  for (let n = 0; n < 2 && !heard.signal.aborted; n++) {
    socket.send(withNonEspMarker(question), ignore);
    await sleep(VERSION_PATIENCE, undefined, { signal: heard.signal }).catch(ignore);
  }
  socket.off('message', listen).off('error', ignore);
  return heard.signal.aborted;
}

/** The last octet of the length in the header. */
const LENGTH_OCTET = IKE_HEADER_LENGTH - 1;

interface ExchangeParts {
  readonly engine: Engine;
  readonly socket: Socket;
  readonly clock: Clock;
  readonly local: string;
  readonly address: string;
  readonly port: FirstPort;
}

/** One first message and its answer. */
class Exchange {
  readonly #parts: ExchangeParts;
  #first: Uint8Array | undefined;
  #sent = 0;
  /** Whether anything came back that was not dropped. A refusal counts after a grace time of the engine only. */
  #heard = false;
  #answer: PortAnswer | undefined;
  readonly #ended = new AbortController();

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  async run(connection: string): Promise<PortAnswer> {
    const { engine, socket, clock } = this.#parts;
    socket.on('error', (error) => this.#settle(ofError(error)));
    socket.on('message', (bytes) => this.#receive(bytes));
    const end = clock.now() + PATIENCE;
    this.#perform(engine.handle({ kind: 'initiate', connection }, clock.now()));
    while (this.#answer === undefined && clock.now() < end) {
      const wait = Math.min(end, engine.nextDeadline() ?? end) - clock.now();
      await sleep(Math.max(1, wait), undefined, { signal: this.#ended.signal }).catch(() => undefined);
      if (this.#answer === undefined) this.#perform(engine.handle({ kind: 'timer' }, clock.now()));
    }
    return this.#answer ?? (this.#heard ? { kind: 'answered' } : { kind: 'silent', sent: this.#sent });
  }

  /** Sends first messages, and ends where the engine has failed, or would go on. */
  #perform(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.kind === 'event' && output.event.kind === 'ike-failed' && this.#heard)
        this.#settle({ kind: 'refused', failure: output.event.failure });
      if (output.kind !== 'send' || this.#answer !== undefined) continue;
      if (this.#isFirst(output.bytes)) this.#send(output);
      else this.#settle({ kind: 'answered' });
    }
  }

  #send({ natTraversalPort, bytes }: SendOutput): void {
    this.#first ??= bytes;
    this.#sent++;
    this.#parts.socket.send(natTraversalPort ? withNonEspMarker(bytes) : bytes, (error) => {
      if (error !== null) this.#settle(ofError(error));
    });
  }

  /** The first message, again or in another form: IKE_SA_INIT with a cookie or of another group (RFC 7296 §2.6, §1.2). */
  #isFirst(bytes: Uint8Array): boolean {
    const header = decodeHeader(bytes);
    const isInit = header.ok && header.value.exchangeType === ExchangeType.IKE_SA_INIT;
    return isInit || this.#first === undefined || equalBytes(this.#first, bytes);
  }

  #settle(answer: PortAnswer): void {
    this.#answer ??= answer;
    this.#ended.abort();
  }

  #receive(datagram: Uint8Array): void {
    const { engine, clock, local, address, port } = this.#parts;
    const natTraversalPort = port === NAT_TRAVERSAL_PORT;
    if (natTraversalPort && classifyPort4500(datagram) !== 'ike') return;
    const bytes = copyOf(natTraversalPort ? datagram.subarray(NON_ESP_MARKER_LENGTH) : datagram);
    const ends = { local: { address: local, port }, remote: { address, port } };
    const outputs = engine.handle({ kind: 'datagram', ...ends, natTraversalPort, bytes }, clock.now());
    const isDropped = outputs.some(
      (output) => output.kind === 'event' && output.event.kind === 'datagram-dropped',
    );
    this.#heard ||= !isDropped;
    this.#perform(outputs);
  }
}

function ofError(error: Error): PortAnswer {
  const kind = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'closed' : 'unsent';
  return { kind, message: oneLine(error) };
}

interface Ends {
  readonly local: string;
  readonly address: string;
  readonly port: number;
}

/**
 * From the port itself, as firewalls expect it, or from another where a program of this host has that one. Connected,
 * so that ICMP errors are reported.
 */
async function open({ local, address, port }: Ends): Promise<Socket> {
  try {
    return await connected({ local, address, port }, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    return await connected({ local, address, port }, 0);
  }
}

function connected({ local, address, port }: Ends, from: number): Promise<Socket> {
  const socket = createSocket(local.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', failed);
    socket.bind({ address: local, port: from, exclusive: true }, () => {
      socket.connect(port, address, ((error?: Error) => {
        if (error !== undefined && error !== null) return failed(error);
        socket.off('error', failed);
        resolve(socket);
      }) as () => void);
    });
  });
}
