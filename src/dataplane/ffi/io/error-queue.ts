import { Errno } from '../../../linux/errors.js';
import type { Path } from '../loop/path.js';
import { type Arena, At, writePointer } from '../memory/arena.js';
import { monotonicMillis } from '../memory/counters.js';

const MSG_DONTWAIT = 0x40;
const MSG_ERRQUEUE = 0x2000;

const SOL_IP = 0;
const SOL_IPV6 = 41;
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;

const MSGHDR = 64;
const CONTROL = 512;
/** Octets of the header of a control message, before struct sock_extended_err. */
const HEADER = 16;

/** More are left for the next turn. */
const MOST = 64;

/** Between two reports of narrower paths, in milliseconds. */
const PAUSE = 20;

/**
 * The errors that ICMP brought for datagrams of a socket (IP_RECVERR). Only the path MTU is of interest: the
 * kernel has noted it, and main asks for it. The queue must be emptied all the same, or poll never sleeps.
 */
export class ErrorQueue {
  readonly #path: Path;
  #reported = 0;

  constructor(path: Path) {
    this.#path = path;
  }

  /** Empties the queue of a socket. False when there was nothing. */
  drain(fd: number): boolean {
    const { arena, calls, report } = this.#path;
    let seen = 0;
    let narrower = false;
    for (; seen < MOST; seen++) {
      prepare(arena);
      if (calls.recvmsg(fd, arena.base + At.errors, MSG_DONTWAIT | MSG_ERRQUEUE) < 0) break;
      if (speaksOfMtu(arena)) narrower = true;
    }
    if (narrower) {
      const now = monotonicMillis();
      if (now - this.#reported > PAUSE) {
        this.#reported = now;
        report({ kind: 'path' });
      }
    }
    return seen > 0;
  }
}

/** A message without room for data, which is not needed. */
function prepare(arena: Arena): void {
  const { u32, bytes } = arena;
  bytes.fill(0, At.errors, At.errors + MSGHDR);
  writePointer(arena, At.errors + 32, At.errors + MSGHDR);
  u32[(At.errors + 40) >>> 2] = CONTROL;
}

function speaksOfMtu({ u32 }: Arena): boolean {
  let at = At.errors + MSGHDR;
  const end = at + u32[(At.errors + 40) >>> 2]!;
  while (at + HEADER < end) {
    const size = u32[at >>> 2]!;
    if (size < HEADER || at + size > end) return false;
    const level = u32[(at >>> 2) + 2]!;
    const type = u32[(at >>> 2) + 3]!;
    const isError =
      (level === SOL_IP && type === IP_RECVERR) || (level === SOL_IPV6 && type === IPV6_RECVERR);
    if (isError && u32[(at + HEADER) >>> 2] === Errno.EMSGSIZE) return true;
    at += (size + 7) & ~7;
  }
  return false;
}
