/**
 * The classic BPF programs that bring ESP to the worker that owns its SPI. One spreads the datagrams of UDP port
 * 4500 over a SO_REUSEPORT group: IKE to the first socket, ESP to the worker's. The others filter raw sockets of
 * IP protocol 50, of which each gets a copy of every packet.
 */

/** Opcodes of linux/bpf_common.h, combined. */
const LD_W_LEN = 0x80;
const LD_W_ABS = 0x20;
const LD_W_IND = 0x40;
const LDX_B_MSH = 0xb1;
const JGE_K = 0x35;
const JEQ_K = 0x15;
const AND_K = 0x54;
const ADD_K = 0x04;
const RET_K = 0x06;
const RET_A = 0x16;

/** struct sock_filter: code u16, jt u8, jf u8, k u32. */
const INSTRUCTION_SIZE = 8;

/** Octets of the shortest thing that can be ESP: SPI and sequence number (RFC 4303 §2). */
const ESP_HEADER = 8;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/**
 * The program for `workers` ESP sockets, a power of two. Index 0 gets the datagrams with the non-ESP marker
 * (RFC 3948 §2.2) and those too short for ESP, keepalives among them; index 1 + (SPI mod workers) the others.
 * @throws RangeError when `workers` is not a power of two
 */
export function steeringProgram(workers: number): Uint8Array<ArrayBuffer> {
  checkWorkers(workers);
  return assemble([
    [LD_W_LEN, 0, 0, 0],
    [JGE_K, 0, 5, ESP_HEADER],
    [LD_W_ABS, 0, 0, 0],
    [JEQ_K, 3, 0, 0],
    [AND_K, 0, 0, workers - 1],
    [ADD_K, 0, 0, 1],
    [RET_A, 0, 0, 0],
    [RET_K, 0, 0, 0],
  ]);
}

/**
 * The filter of the raw socket of worker `index` of `workers`: it lets the packets with SPI mod workers = index
 * pass. Over IPv4 the kernel shows it the packet from the IP header on, over IPv6 from the SPI on. What is too
 * short for an SPI passes nowhere.
 * @throws RangeError when `workers` is not a power of two
 */
export function rawEspFilter(
  family: 4 | 6,
  { workers, index }: { readonly workers: number; readonly index: number },
): Uint8Array<ArrayBuffer> {
  checkWorkers(workers);
  const loadSpi: readonly Instruction[] =
    family === 4
      ? [
          [LDX_B_MSH, 0, 0, 0],
          [LD_W_IND, 0, 0, 0],
        ]
      : [[LD_W_ABS, 0, 0, 0]];
  return assemble([
    ...loadSpi,
    [AND_K, 0, 0, workers - 1],
    [JEQ_K, 0, 1, index],
    [RET_K, 0, 0, 0xffffffff],
    [RET_K, 0, 0, 0],
  ]);
}

function checkWorkers(workers: number): void {
  if (!Number.isInteger(workers) || workers < 1 || (workers & (workers - 1)) !== 0) {
    throw new RangeError(
      `${workers} workers: the number must be a power of two, since SPIs are spread by their low bits`,
    );
  }
}

function assemble(program: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(program.length * INSTRUCTION_SIZE));
  const view = new DataView(out.buffer);
  program.forEach(([code, jumpTrue, jumpFalse, k], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jumpTrue);
    view.setUint8(8 * i + 3, jumpFalse);
    view.setUint32(8 * i + 4, k, true);
  });
  return out;
}
