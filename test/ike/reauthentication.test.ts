import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { headerOf } from '../../src/ike/v2/send.js';
import { rekeyIkeTask } from '../../src/ike/v2/tasks.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import type { NotifyPayload } from '../../src/wire/ike/payloads.js';
import { ExchangeType, NotifyType } from '../../src/wire/ike/registry.js';
import type { ConnectionPatch } from '../helpers/engine-pair.js';
import { End } from '../helpers/v2-end.js';

const EXCHANGES = 12;

/** AUTH_LIFETIME of so many seconds (RFC 4478 §3). */
function authLifetime(value: number): NotifyPayload {
  const data = Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
  return { kind: 'notify', protocol: 0, spi: new Uint8Array(0), type: NotifyType.AUTH_LIFETIME, data };
}

/** An east that initiates, and a west whose authentications last for a while: it says so in IKE_AUTH, or later. */
class Ends {
  readonly east: End;
  readonly west: End;
  now = 0;
  /** What the west adds to its answers to IKE_AUTH. */
  said: number | undefined;

  constructor(east: ConnectionPatch = {}) {
    this.east = new End('east', undefined, { dpd: NO_DPD, ...east });
    this.west = new End('west', undefined, { dpd: NO_DPD });
  }

  up(): this {
    this.deliver(this.east.initiate());
    return this;
  }

  /** Messages go back and forth until nobody has anything to say. */
  deliver(toWest: readonly DatagramInput[], toEast: readonly DatagramInput[] = []): void {
    let [west, east] = [toWest, toEast];
    for (let i = 0; i < EXCHANGES && west.length + east.length > 0; i++) {
      const answers = this.west.receive(west).map((one) => this.#telling(one));
      west = this.east.receive([...east, ...answers]);
      east = this.west.drain();
    }
  }

  /** The answer of the west to IKE_AUTH, with the lifetime in it. */
  #telling(datagram: DatagramInput): DatagramInput {
    const message = decodeMessage(datagram.bytes);
    if (!message.ok || this.said === undefined) return datagram;
    const { header, payloads } = message.value;
    const sealed = payloads.at(-1);
    if (header.exchangeType !== ExchangeType.IKE_AUTH || !header.response || sealed?.kind !== 'sk')
      return datagram;
    const reader = this.east.v2.world.table.find(hex(header.initiatorSpi));
    const writer = this.west.v2.world.table.find(hex(header.responderSpi));
    const opened = reader!.protection!.open(datagram.bytes, sealed);
    if (!opened.ok) throw new Error('not readable');
    const bytes = writer!.protection!.seal(header, [...opened.value, authLifetime(this.said)]);
    return { ...datagram, bytes };
  }

  /** The west says it in an exchange of its own. */
  tell(value: number): void {
    const sa = this.west.sa();
    const header = headerOf(sa, ExchangeType.INFORMATIONAL, sa.nextMessageId++, false);
    const bytes = sa.protection!.seal(header, [authLifetime(value)]);
    const { local, remote, natTraversalPort } = sa;
    this.east.receive([{ kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes }]);
  }

  /** Lets time pass, in steps of a second. */
  wait(seconds: number): void {
    for (const end = this.now + 1000 * seconds; this.now < end; ) {
      this.now += 1000;
      this.east.ctx.now = this.now;
      this.west.ctx.now = this.now;
      this.east.v2.tick();
      this.west.v2.tick();
      this.deliver(this.east.drain(), this.west.drain());
    }
  }

  /** IKE SAs that the east has made by authentication, and by rekeying one. */
  get made(): { authenticated: number; rekeyed: number } {
    const all = this.east.log.flatMap((one) =>
      one.kind === 'event' && one.event.kind === 'ike-established' ? [one.event.ike] : [],
    );
    const rekeyed = all.filter(({ replaces }) => replaces !== undefined).length;
    return { authenticated: all.length - rekeyed, rekeyed };
  }

  /** Established IKE SAs at the ends. */
  get standing(): number[] {
    return [this.east, this.west].map(
      ({ v2 }) => v2.world.table.all().filter(({ state }) => state === 'established').length,
    );
  }
}

const NO_DPD = { action: 'none', interval: 10, timeout: 40 } as const;

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => octet.toString(16).padStart(2, '0')).join('');
}

t.test('AUTH_LIFETIME in the answer to IKE_AUTH: authenticated again before that is over', async (t) => {
  const ends = new Ends();
  ends.said = 600;
  ends.up();
  ends.wait(470);
  t.strictSame(ends.made, { authenticated: 1, rekeyed: 0 });
  ends.wait(80);
  t.strictSame(ends.made, { authenticated: 2, rekeyed: 0 });
  t.strictSame(ends.standing, [1, 1], 'the new IKE SA has replaced the old one');
  ends.wait(3600 - 550);
  const { authenticated } = ends.made;
  t.ok(authenticated >= 6 && authenticated <= 8, `${authenticated} in an hour`);
  t.strictSame(ends.standing, [1, 1]);
});

t.test(
  'in an INFORMATIONAL of the responder, and kept when the IKE SA is rekeyed from either end',
  async (t) => {
    for (const side of ['east', 'west'] as const) {
      const ends = new Ends().up();
      ends.tell(600);
      ends.wait(10);
      ends[side].sa().tasks.push(rekeyIkeTask());
      ends.wait(400);
      t.strictSame(ends.made, { authenticated: 1, rekeyed: 1 }, side);
      ends.wait(140);
      t.strictSame(ends.made, { authenticated: 2, rekeyed: 1 }, side);
      t.strictSame(ends.standing, [1, 1], side);
    }
  },
);

t.test('0 and 1 second make no storm', async (t) => {
  for (const value of [0, 1]) {
    const ends = new Ends();
    ends.said = value;
    ends.up();
    ends.wait(600);
    const { authenticated } = ends.made;
    t.ok(authenticated >= 9 && authenticated <= 14, `${value}: ${authenticated} in ten minutes`);
    t.strictSame(ends.standing, [1, 1]);
  }
});

t.test(
  'it means nothing from an initiator, to an end that does not initiate, or in another length',
  async (t) => {
    const passive = new Ends().up();
    passive.east.sa().connection = { ...passive.east.sa().connection!, establishMode: 'peer_only' };
    passive.tell(60);
    passive.wait(300);
    t.strictSame(passive.made, { authenticated: 1, rekeyed: 0 });
    const ends = new Ends().up();
    const sa = ends.east.sa();
    const header = headerOf(sa, ExchangeType.INFORMATIONAL, sa.nextMessageId++, false);
    const bytes = sa.protection!.seal(header, [authLifetime(60)]);
    const { local, remote, natTraversalPort } = sa;
    ends.west.receive([{ kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes }]);
    t.equal(ends.west.sa().service?.reauthenticateAt, Number.POSITIVE_INFINITY);
  },
);
