import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { SaLedger } from '../../../src/connection/ledger.js';
import { Captures } from '../../../src/daemon/capture/captures.js';
import { IkeTap } from '../../../src/daemon/capture/ike-tap.js';
import type { CaptureRequest } from '../../../src/daemon/capture/request.js';
import type { CaptureSources } from '../../../src/daemon/capture/session.js';
import { STANDARD_PORTS } from '../../../src/daemon/system/ports.js';
import type { TapOptions, TappedPacket } from '../../../src/dataplane/packet-tap.js';
import type { KeyLine } from '../../../src/telemetry/capture/wireshark-keys.js';
import { createLogger } from '../../../src/telemetry/log.js';
import { concat } from '../../../src/util/bytes.js';
import { innerPacket } from '../../helpers/esp.js';

const LOCAL = '192.0.2.1';
const PEER = '192.0.2.2';
const REQUEST: CaptureRequest = {
  ...{ connection: 'one', seconds: 60, bytes: 100_000, snap: 65_535 },
  ...{ inner: true, dropped: true, keys: false },
};
const INNER = innerPacket('10.1.0.9', '10.2.0.9', 300);

/** A gateway with nothing behind it: the test holds the clock, the packets and the client. */
class Lab {
  now = 1000;
  ready = true;
  readonly waiting: TappedPacket[] = [];
  readonly taken: number[] = [];
  readonly chunks: Uint8Array[] = [];
  readonly keys: KeyLine[] = [];
  readonly lines: string[] = [];
  readonly tap = new IkeTap();
  readonly gone = new AbortController();
  lost = 0;
  options: TapOptions | undefined;
  closed = 0;
  readonly captures: Captures;

  constructor() {
    const sources: CaptureSources = {
      plane: {
        tap: (options) => {
          this.options = options;
          const lost = (): number => this.lost;
          return {
            watch: () => undefined,
            take: (octets) => {
              this.taken.push(octets);
              return this.waiting.splice(0);
            },
            get lost() {
              return lost();
            },
            close: () => {
              this.closed++;
            },
          };
        },
      },
      ...{ tap: this.tap, sas: new SaLedger(), exportSas: () => [], connections: () => [] },
      peerAddresses: () => [PEER],
      clock: { now: () => this.now, epoch: 1_700_000_000_000 },
      ...{ ports: STANDARD_PORTS, address: LOCAL, device: 'culvert0', program: 'test' },
    };
    const logger = createLogger({ destination: { write: (line) => this.lines.push(line) } });
    this.captures = new Captures(sources, logger);
  }

  run(change: Partial<CaptureRequest> = {}) {
    return this.captures.run({ ...REQUEST, ...change }, 'to-b', {
      client: { uid: 0, pid: 77 },
      gone: this.gone.signal,
      sink: {
        ready: () => this.ready,
        write: (octets) => this.chunks.push(octets),
        keys: (lines) => this.keys.push(...lines),
      },
    });
  }

  packets(count: number): void {
    const inner = { layer: 'inner', direction: 'out', childId: 1, drop: undefined } as const;
    for (let i = 0; i < count; i++)
      this.waiting.push({ ...inner, at: this.now, length: INNER.length, bytes: INNER });
  }

  ike(address: string): void {
    this.tap.listener?.received({
      ...{ kind: 'datagram', natTraversalPort: false, bytes: new Uint8Array(28) },
      local: { address: LOCAL, port: 500 },
      remote: { address, port: 500 },
    });
  }

  get file(): Uint8Array {
    return concat(...this.chunks);
  }

  get text(): string {
    return new TextDecoder().decode(this.file);
  }
}

// The timers of a capture keep no process alive, and here is nothing else.
const alive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(alive));

/** Packet blocks in a file. */
function packetsIn(file: Uint8Array): number {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  let packets = 0;
  for (let at = 0; at < file.length; at += view.getUint32(at + 4)) if (view.getUint32(at) === 6) packets++;
  return packets;
}

t.test('it ends when its time is over', async (t) => {
  const lab = new Lab();
  const done = lab.run({ seconds: 5 });
  lab.packets(3);
  await sleep(30);
  lab.now += 4999;
  lab.packets(1);
  await sleep(30);
  lab.now += 1;
  lab.ike(PEER);
  const report = await done;
  t.match(report, { ended: 'time', lost: 0, bytes: lab.file.length });
  t.equal(packetsIn(lab.file), report.packets);
  t.match(lab.text, /ended when its time was over/);
  t.equal(lab.closed, 1);
  t.equal(lab.tap.listener, undefined);
  t.match(
    lab.lines.map((line) => JSON.parse(line)),
    [
      { msg: /a capture of to-b begins, for 5 s and 100000 octets/, uid: 0, pid: 77, with_keys: false },
      { msg: /capture of to-b has ended: 4 packets/, ended: 'time' },
    ],
  );
});

t.test('its file is never longer than it may be', async (t) => {
  const lab = new Lab();
  const done = lab.run({ bytes: 10_000 });
  lab.packets(100);
  const report = await done;
  t.equal(report.ended, 'full');
  t.equal(report.bytes, lab.file.length);
  t.ok(lab.file.length <= 10_000 && lab.file.length > 8000, `${lab.file.length} octets`);
  t.equal(packetsIn(lab.file), report.packets);
});

t.test('what came too fast is told in the answer and in the file', async (t) => {
  const lab = new Lab();
  const done = lab.run();
  lab.lost = 7;
  lab.captures.stop();
  t.match(await done, { ended: 'stopped', lost: 7 });
  t.match(lab.text, /stopped; 7 packets, outer and inner, passed uncaptured/);
});

t.test(
  'packets wait in their ring for a client that does not read, and IKE messages do not fill the memory',
  async (t) => {
    const lab = new Lab();
    const done = lab.run({ bytes: 1_000_000_000 });
    await sleep(30);
    lab.ready = false;
    await sleep(30);
    const [looks, sent] = [lab.taken.length, lab.chunks.length];
    lab.packets(10);
    for (let i = 0; i < 20_000; i++) lab.ike(PEER);
    await sleep(50);
    t.equal(lab.taken.length, looks, 'nothing is taken');
    t.equal(lab.chunks.length, sent, 'nothing is sent');
    lab.ready = true;
    lab.captures.stop();
    const report = await done;
    t.ok(report.lost > 0, `${report.lost} IKE messages found no room`);
    t.equal(report.lost + report.packets, 20_010);
  },
);

t.test('IKE of others is left out', async (t) => {
  const lab = new Lab();
  const done = lab.run();
  lab.ike('203.0.113.9');
  lab.ike(PEER);
  await sleep(30);
  lab.captures.stop();
  t.equal((await done).packets, 1);
});

t.test('one at a time, and it ends with its client', async (t) => {
  const lab = new Lab();
  const done = lab.run({ keys: true });
  t.match(JSON.parse(lab.lines[0]!), { level: 40, msg: /the keys of its SAs are handed out/ });
  await t.rejects(lab.run(), { code: 'refused', message: /captures packets already/ });
  lab.gone.abort();
  t.match(await done, { ended: 'stopped' });
  t.equal(lab.closed, 1);
  t.equal(lab.captures.stop(), false);
  const again = new AbortController();
  again.abort();
  await t.resolves(lab.run(), 'the next one may begin');
});
