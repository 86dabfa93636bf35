import type { DataPlane } from '../../dataplane/dataplane.js';
import type { PacketTap } from '../../dataplane/packet-tap.js';
import type { DatagramInput } from '../../ike/inputs.js';
import type { ChildSa, SendOutput } from '../../ike/outputs.js';
import type { SaRecord } from '../../ike/sa/record.js';
import { wipeRecord } from '../../ike/sa/record.js';
import { CaptureFile, type FilePacket } from '../../telemetry/capture/capture-file.js';
import { espKeyLines, ikeKeyLines } from '../../telemetry/capture/sa-keys.js';
import type { KeyLine } from '../../telemetry/capture/wireshark-keys.js';
import type { IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import { natKeepalive, withNonEspMarker } from '../../wire/esp.js';
import { type Clock, preciseNow } from '../system/clock.js';
import type { Ports } from '../system/ports.js';
import { CaptureFilter, type FilterSources } from './filter.js';
import type { IkeListener, IkeTap } from './ike-tap.js';
import { datagramPacket, MAX_OUTER, outerPacket } from './outer-packets.js';
import type { CaptureEnd, CaptureReport, CaptureRequest } from './request.js';

/** What a capture takes from its gateway. */
export interface CaptureSources extends FilterSources {
  readonly plane: Pick<DataPlane, 'tap'>;
  readonly tap: IkeTap;
  /** Copies of what the engine knows of an IKE SA, keys included: the caller wipes them. */
  exportSas(id: IkeId): SaRecord[];
  readonly clock: Clock;
  readonly ports: Ports;
  readonly address: string;
  /** Name of the first TUN device. */
  readonly device: string;
  readonly program: string;
}

/** Who gets a capture as it grows. */
export interface CaptureSink {
  /** Whether it takes more now; the packets wait meanwhile, in the room there is. */
  ready(): boolean;
  /** Further octets of the file. */
  write(octets: Uint8Array): void;
  /** Further lines of Wireshark's tables. */
  keys(lines: readonly KeyLine[]): void;
}

/** Between two looks at what the packet path has copied. */
const TICK: Millis = 10;
/** Octets taken at a look: the main thread has other work, too. */
const CHUNK = 512 * 1024;
/** Octets that wait for the sink here, before IKE messages are counted as lost. */
const MAX_WAITING = 1024 * 1024;
/** How long the copies that were there at the end may wait for a sink that is slow. */
const LAST_WAIT: Millis = 2000;
/** Child SAs that a capture follows: a peer may rekey as often as it likes. */
const MAX_CHILDREN = 4096;

/** One capture, from its beginning to the last octet of its file. */
export class CaptureSession implements IkeListener {
  /** Resolves when it has ended. */
  readonly done: Promise<CaptureReport>;
  readonly #request: CaptureRequest;
  readonly #sources: CaptureSources;
  readonly #sink: CaptureSink;
  readonly #file: CaptureFile;
  readonly #filter: CaptureFilter;
  readonly #packets: PacketTap;
  readonly #timer: NodeJS.Timeout;
  readonly #deadline: Millis;
  readonly #watched = new Set<number>();
  /** IKE SAs whose keys were handed out. */
  readonly #keyed = new Set<IkeId>();
  #unkeyed = 0;
  #undecipherable = 0;
  #blocks: Uint8Array[] = [];
  #waiting = 0;
  /** IKE messages that found no room. */
  #lost = 0;
  #ending: { readonly why: CaptureEnd; readonly at: Millis } | undefined;
  #resolve: (report: CaptureReport) => void = () => undefined;
  #over = false;

  /** @throws RangeError when packets are being captured already */
  constructor(request: CaptureRequest, about: string, sources: CaptureSources, sink: CaptureSink) {
    const { clock, address, device, program, plane, tap, sas } = sources;
    const { snap, inner, dropped } = request;
    this.#request = request;
    this.#sources = sources;
    this.#sink = sink;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const now = preciseNow(clock);
    this.#deadline = now + request.seconds * 1000;
    this.#file = new CaptureFile(
      { program, address, device, about, limit: request.bytes },
      clock.epoch + now,
    );
    this.#filter = new CaptureFilter(request.connection, sources);
    this.#packets = plane.tap({ snap, inner, dropped, now: () => preciseNow(clock) });
    this.#push(this.#file.header);
    const children = [...sas.of(request.connection).children.keys()];
    for (const id of children) this.#watch(id);
    if (request.keys) this.#unkeyed = children.length;
    tap.listener = this;
    this.#timer = setInterval(() => this.#tick(), TICK);
    this.#timer.unref();
    this.#tick();
  }

  /** Ends it as if its time were over. */
  stop(why: CaptureEnd = 'stopped'): void {
    this.#ending ??= { why, at: preciseNow(this.#sources.clock) };
  }

  /** Ends it at once: its client is gone. Safe to call twice. */
  abandon(): void {
    this.#end('stopped');
  }

  received({ local, remote, natTraversalPort, bytes }: DatagramInput): void {
    if (!this.#filter.takesIke(remote, bytes)) return;
    this.#ike('in', { from: remote, to: local }, natTraversalPort ? withNonEspMarker(bytes) : bytes);
  }

  sent({ local, remote, natTraversalPort, bytes }: SendOutput): void {
    if (!this.#filter.takesIke(remote, bytes)) return;
    this.#ike('out', { from: local, to: remote }, natTraversalPort ? withNonEspMarker(bytes) : bytes);
  }

  keepalive(remote: Endpoint): void {
    if (!this.#filter.takesAddress(remote.address)) return;
    this.#ike('out', { from: { address: this.#sources.address, port: 4500 }, to: remote }, natKeepalive());
  }

  installing(child: ChildSa): void {
    if (child.connection !== this.#request.connection) return;
    this.#watch(child.id);
    if (!this.#request.keys) return;
    const lines = espKeyLines(child);
    if (lines.length === 0) this.#undecipherable++;
    else this.#sink.keys(lines);
  }

  #watch(id: number): void {
    if (this.#watched.size >= MAX_CHILDREN) return;
    this.#watched.add(id);
    this.#packets.watch(id);
  }

  #ike(direction: 'in' | 'out', way: { from: Endpoint; to: Endpoint }, payload: Uint8Array): void {
    if (payload.length > MAX_OUTER) {
      this.#lost++;
      return;
    }
    // What the packet path has copied before comes first.
    this.#takePackets();
    const at = preciseNow(this.#sources.clock);
    if (this.#ending !== undefined || at >= this.#deadline) return;
    const bytes = datagramPacket(way.from, way.to, payload);
    this.#add({ layer: 'outer', direction, at, length: bytes.length, bytes });
  }

  #tick(): void {
    const now = preciseNow(this.#sources.clock);
    if (now >= this.#deadline) this.stop('time');
    this.#handOutKeys();
    const more = this.#takePackets();
    if (this.#sink.ready()) this.#flush();
    if (this.#file.full) this.#end('full');
    else if (this.#ending !== undefined && (!more || now > this.#ending.at + LAST_WAIT))
      this.#end(this.#ending.why);
  }

  /** False when there is nothing left. */
  #takePackets(): boolean {
    if (!this.#sink.ready() || this.#waiting > CHUNK) return true;
    const taken = this.#packets.take(CHUNK);
    if (taken.length > 0) this.#filter.refresh();
    for (const packet of taken) {
      if (this.#ending !== undefined && packet.at > this.#ending.at) continue;
      if (packet.childId === undefined && !this.#filter.takesStray(packet)) continue;
      if (packet.length > MAX_OUTER) {
        this.#lost++;
        continue;
      }
      const { at, direction, drop, layer } = packet;
      const { length, bytes } =
        packet.layer === 'inner' ? packet : outerPacket(packet, this.#filter, this.#sources);
      this.#add({
        ...{ layer, direction, at, length, bytes },
        ...(drop === undefined ? {} : { comment: `dropped: ${drop}` }),
      });
    }
    return taken.length > 0;
  }

  /** `at` is on the daemon's clock. */
  #add(packet: FilePacket): void {
    if (this.#over) return;
    if (this.#waiting > MAX_WAITING) {
      this.#lost++;
      return;
    }
    const { clock } = this.#sources;
    const bytes = packet.bytes.subarray(0, this.#request.snap);
    const block = this.#file.packet({ ...packet, bytes, at: clock.epoch + packet.at });
    if (block !== undefined) this.#push(block);
  }

  #push(block: Uint8Array): void {
    this.#blocks.push(block);
    this.#waiting += block.length;
  }

  #flush(): void {
    if (this.#blocks.length === 0) return;
    const chunk = new Uint8Array(this.#waiting);
    let at = 0;
    for (const block of this.#blocks) {
      chunk.set(block, at);
      at += block.length;
    }
    this.#blocks = [];
    this.#waiting = 0;
    this.#sink.write(chunk);
  }

  /** Keys of IKE SAs that have been established since the last look. */
  #handOutKeys(): void {
    if (!this.#request.keys) return;
    for (const id of this.#sources.sas.of(this.#request.connection).ikes.keys()) {
      if (this.#keyed.has(id)) continue;
      this.#keyed.add(id);
      for (const record of this.#sources.exportSas(id)) {
        const lines = ikeKeyLines(record);
        wipeRecord(record);
        if (lines.length === 0) this.#undecipherable++;
        else this.#sink.keys(lines);
      }
    }
  }

  #end(ended: CaptureEnd): void {
    if (this.#over) return;
    clearInterval(this.#timer);
    const { tap, clock } = this.#sources;
    tap.listener = undefined;
    const lost = this.#lost + this.#packets.lost;
    this.#packets.close();
    for (const block of this.#file.end(clock.epoch + preciseNow(clock), lost, END_WORDS[ended]))
      this.#push(block);
    this.#over = true;
    this.#flush();
    const { packets, length: bytes } = this.#file;
    const keys = this.#request.keys
      ? { child_sas_without_keys: this.#unkeyed, sas_wireshark_cannot_decrypt: this.#undecipherable }
      : {};
    this.#resolve({ ended, packets, bytes, lost, ...keys });
  }
}

const END_WORDS: Readonly<Record<CaptureEnd, string>> = {
  time: 'the capture ended when its time was over',
  full: 'the capture ended when its file was as long as it may get',
  stopped: 'the capture was stopped',
};
