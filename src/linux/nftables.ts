import { Errno, linuxError } from './errors.js';
import { addressOf, checked, hostBuffer, lastErrno, libc } from './ffi.js';
import { decodeAnswers, decodeAttributes, NLM_F_ACK, netlinkExchange, withNetlinkSocket } from './netlink.js';
import { getCounter, getTable, NFGENMSG_SIZE, nftBatch } from './nft-encode.js';

const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const MSG_DONTWAIT = 0x40;
const ANSWER = 65536;
/** NFTA_OBJ_DATA and NFTA_COUNTER_PACKETS. */
const OBJECT_DATA = 4;
const COUNTER_PACKETS = 2;

/**
 * Applies messages of nf_tables as one transaction: all of them, or none.
 * @throws LinuxError for the first that was refused; EPROTONOSUPPORT or EOPNOTSUPP where the kernel has no nf_tables
 */
export function commitNft(messages: readonly Uint8Array[], doing: string): void {
  const batch = nftBatch(messages.map((message, i) => numbered(message, i + 1)));
  withNetlinkSocket(NETLINK_NETFILTER, (fd) => {
    const calls = libc();
    // A transaction is one datagram.
    const room = hostBuffer(4);
    new DataView(room.buffer).setInt32(0, 2 * batch.length + ANSWER, true);
    calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, addressOf(room), 4);
    checked(calls.sendto(fd, addressOf(batch), batch.length, 0, 0, 0), doing);
    const buffer = hostBuffer(ANSWER);
    let done = false;
    for (;;) {
      // The kernel has worked it off before sendto returns: what there is to say waits already.
      const length = calls.recvfrom(fd, addressOf(buffer), ANSWER, MSG_DONTWAIT, 0, 0);
      if (length < 0) {
        const errno = lastErrno();
        if (errno === Errno.EINTR) continue;
        if (errno === Errno.EAGAIN && done) return;
        throw linuxError(errno === Errno.EAGAIN ? Errno.EIO : errno, doing);
      }
      const errno = decodeAnswers(buffer.subarray(0, length), NFGENMSG_SIZE, []);
      if (errno !== undefined && errno !== 0) throw linuxError(errno, doing);
      done = true;
    }
  });
}

/** Every message asks for an acknowledgement and has its number in the batch. */
function numbered(message: Uint8Array, sequence: number): Uint8Array {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  view.setUint16(6, view.getUint16(6, true) | (sequence === 1 ? NLM_F_ACK : 0), true);
  view.setUint32(8, sequence, true);
  return message;
}

/** Whether there is a table of this name for both families. @throws LinuxError */
export function hasNftTable(table: string): boolean {
  const { errno } = netlinkExchange(NETLINK_NETFILTER, getTable(table, NLM_F_ACK), NFGENMSG_SIZE);
  if (errno === 0 || errno === Errno.ENOENT) return errno === 0;
  throw linuxError(errno, `looking for the nftables table ${table}`);
}

/** Packets that a named counter has counted. @throws LinuxError, ENOENT when there is none */
export function readNftCounter(table: string, counter: string): number {
  const request = getCounter(table, counter, NLM_F_ACK);
  const { answers, errno } = netlinkExchange(NETLINK_NETFILTER, request, NFGENMSG_SIZE);
  if (errno !== 0) throw linuxError(errno, `reading the nftables counter ${counter} of ${table}`);
  const values = answers[0]?.attributes.get(OBJECT_DATA);
  const packets = values === undefined ? undefined : decodeAttributes(values, 0).get(COUNTER_PACKETS);
  if (packets === undefined) return 0;
  return Number(new DataView(packets.buffer, packets.byteOffset, packets.byteLength).getBigUint64(0));
}
