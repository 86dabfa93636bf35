/**
 * The classic BPF program that spreads the datagrams of UDP port 4500 over a SO_REUSEPORT group: IKE to the
 * first socket, ESP to the socket of the worker that owns the SPI. The kernel runs it on the UDP payload.
 */

/** Opcodes of linux/bpf_common.h, combined. */
const LD_W_LEN = 0x80;
const LD_W_ABS = 0x20;
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
  if (!Number.isInteger(workers) || workers < 1 || (workers & (workers - 1)) !== 0) {
    throw new RangeError(
      `${workers} workers: the number must be a power of two, since SPIs are spread by their low bits`,
    );
  }
  const program: readonly Instruction[] = [
    [LD_W_LEN, 0, 0, 0],
    [JGE_K, 0, 5, ESP_HEADER],
    [LD_W_ABS, 0, 0, 0],
    [JEQ_K, 3, 0, 0],
    [AND_K, 0, 0, workers - 1],
    [ADD_K, 0, 0, 1],
    [RET_A, 0, 0, 0],
    [RET_K, 0, 0, 0],
  ];
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
