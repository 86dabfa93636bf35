import { randomBytes } from 'node:crypto';
import type { EspKeys, EspSuite } from '../../../crypto/types.js';
import { GsoType, VIRTIO_HEADER_LENGTH, VirtioFlag, writeVirtioHeader } from '../../../esp/offload/virtio.js';
import { FRESH_START } from '../../../esp/start.js';
import type { Libc } from '../../../linux/ffi.js';
import { SecretKey } from '../../../util/secret.js';
import type { TrafficSelector } from '../../../wire/ike/payloads.js';
import { Encr, TsType } from '../../../wire/ike/registry.js';
import { buildPacket, IpProtocol } from '../../../wire/ip.js';
import { TCP_FLAGS_OFFSET, TcpFlag } from '../../../wire/tcp.js';
import { CONTROL_SPACE, writeGroControl } from '../io/control-message.js';
import {
  type Arena,
  At,
  innerPacket,
  MAX_CHILDREN,
  MMSGHDR_LENGTH,
  MMSGHDR_SIZE,
  NAME_SIZE,
  rxPacket,
  txPacket,
} from '../memory/arena.js';
import { monotonicMillis } from '../memory/counters.js';
import type { Installation } from '../memory/orders.js';

/**
 * The engine that runs this code compiles it well only after it has run some thousand times: until then a
 * packet costs two to three times as much, which shows in the round trips of a tunnel that carries little. So
 * a worker first sends made-up packets to itself, sealed and opened again by an SA of its own with random
 * keys. The kernel has no part in it: the calls that move packets are played by functions here.
 */

const SUITE: EspSuite = {
  encryption: { id: Encr.AES_GCM_16, keyBits: 128 },
  integrity: 0,
  dh: 0,
  esn: false,
};

/** Below 256 no SPI is ever negotiated (RFC 4303 §2.1). */
const SPI = 1;
const ID = 0x7ffffffe;

/** Payload of one TCP segment, and segments of a super-packet. */
const SEGMENT = 1360;
const SEGMENTS = 6;

/** Addresses for documentation (RFC 5737). */
const SOURCE = Uint8Array.of(192, 0, 2, 1);
const DESTINATION = Uint8Array.of(198, 51, 100, 1);

/** What is rehearsed. */
export interface Stage {
  readonly arena: Arena;
  /** Whether packets from TUN carry the virtio-net header. */
  readonly virtioHeader: boolean;
  /** Puts others in the place of the calls into the kernel, and answers with those that were there. */
  exchange(calls: Libc): Libc;
  install(order: Installation): void;
  remove(id: number): void;
  /** One turn from TUN to the sockets, one from the first socket to TUN. */
  outbound(): void;
  inbound(): void;
}

/** After so many rounds of some eight packets everything is compiled; on a busy machine it ends before that. */
const ROUNDS = 2500;

/** Rehearses, for `millis` milliseconds at most; answers with the packets that came through. */
export function rehearse(stage: Stage, millis: number): number {
  const props = new Props(stage.arena, stage.virtioHeader);
  stage.install(installation());
  const calls = stage.exchange({} as Libc);
  stage.exchange({ ...calls, ...props.calls });
  try {
    const end = monotonicMillis() + millis;
    for (let round = 0; round < ROUNDS && monotonicMillis() < end; round++) {
      stage.outbound();
      stage.inbound();
    }
  } finally {
    stage.exchange(calls);
    stage.remove(ID);
  }
  return props.written;
}

function installation(): Installation {
  const key = new Uint8Array(randomBytes(20));
  const keys = (): EspKeys => ({ encryption: new SecretKey(Uint8Array.from(key)) });
  const any: TrafficSelector = {
    tsType: TsType.IPV4_ADDR_RANGE,
    protocol: 0,
    startPort: 0,
    endPort: 65535,
    startAddress: new Uint8Array(4),
    endAddress: new Uint8Array(4).fill(255),
  };
  const order: Installation = {
    block: MAX_CHILDREN,
    id: ID,
    spiIn: SPI,
    spiOut: SPI,
    suite: SUITE,
    keysIn: keys(),
    keysOut: keys(),
    localTs: [any],
    peerTs: [any],
    peer: { address: '192.0.2.2', port: 4500 },
    outbound: true,
    replayWindow: 1024,
    encapsulation: 'udp',
    pathMtu: 1500,
    mssCeiling: 1360,
    device: 0,
    start: FRESH_START,
  };
  key.fill(0);
  return order;
}

/** The calls that move packets, played: what is sent comes back, and TUN has a few packets in every turn. */
class Props {
  readonly calls: Pick<Libc, 'read' | 'write' | 'sendmmsg' | 'recvmmsg'>;
  /** Packets written to TUN. */
  written = 0;
  readonly #arena: Arena;
  /** Octets of the runs on the way, and of their datagrams. */
  readonly #lengths: number[] = [];
  readonly #segments: number[] = [];

  constructor(arena: Arena, virtioHeader: boolean) {
    this.#arena = arena;
    const script = virtioHeader
      ? [superPacket(), plain(0), plain(48)]
      : [plain(0), plain(48), plain(SEGMENT)];
    let next = 0;
    this.calls = {
      read: () => {
        const packet = script[next++];
        if (packet === undefined) {
          next = 0;
          // The end of a burst. An error would be looked up where the kernel leaves its number.
          return 0;
        }
        const header = virtioHeader ? VIRTIO_HEADER_LENGTH : 0;
        const octets = packet.subarray(VIRTIO_HEADER_LENGTH - header);
        arena.bytes.set(octets, innerPacket() - header);
        return octets.length;
      },
      write: (_fd, _address, length) => {
        this.written++;
        return length;
      },
      sendmmsg: (_fd, _messages, count) => this.#send(count),
      recvmmsg: () => this.#receive(),
    };
  }

  #send(count: number): number {
    const { bytes, u32, view } = this.#arena;
    for (let run = 0; run < count; run++) {
      const length = u32[(At.tx.iovecs + run * 16 + 8) >>> 2]!;
      const slot = this.#lengths.length;
      bytes.copyWithin(rxPacket(slot), txPacket(run), txPacket(run) + length);
      const control = u32[(At.tx.headers + run * MMSGHDR_SIZE + 40) >>> 2]!;
      this.#lengths.push(length);
      // The only control data there is: how long each datagram of the run is.
      this.#segments.push(
        control === 0 ? 0 : view.getUint16(At.tx.controls + run * CONTROL_SPACE + 16, true),
      );
    }
    return count;
  }

  #receive(): number {
    const { bytes, u32 } = this.#arena;
    const count = this.#lengths.length;
    const peer = At.peers + MAX_CHILDREN * NAME_SIZE;
    for (let i = 0; i < count; i++) {
      // From where the peer is: anything else would be reported.
      bytes.copyWithin(At.rxNames + i * NAME_SIZE, peer, peer + NAME_SIZE);
      const header = At.rxHeaders + i * MMSGHDR_SIZE;
      const control = At.rxControls + i * CONTROL_SPACE;
      u32[(header + MMSGHDR_LENGTH) >>> 2] = this.#lengths[i]!;
      u32[(header + 40) >>> 2] = writeGroControl(this.#arena, control, this.#segments[i]!);
    }
    this.#lengths.length = 0;
    this.#segments.length = 0;
    return count;
  }
}

/** A TCP packet of `payload` octets with its virtio-net header in front. */
function plain(payload: number): Uint8Array {
  const segment = new Uint8Array(20 + payload);
  segment[12] = 0x50;
  segment[TCP_FLAGS_OFFSET] = TcpFlag.ACK;
  const packet = buildPacket({ source: SOURCE, destination: DESTINATION, protocol: IpProtocol.TCP }, segment);
  const out = new Uint8Array(VIRTIO_HEADER_LENGTH + packet.length);
  out.set(packet, VIRTIO_HEADER_LENGTH);
  return out;
}

/** The same as the kernel gives one that is to be split. */
function superPacket(): Uint8Array {
  const out = plain(SEGMENTS * SEGMENT);
  writeVirtioHeader(out, 0, {
    flags: VirtioFlag.NEEDS_CSUM,
    gsoType: GsoType.TCPV4,
    headerLength: 40,
    gsoSize: SEGMENT,
    checksumStart: 20,
    checksumOffset: 16,
  });
  return out;
}
