import { addressOf, hostBuffer, openLibrary } from './ffi.js';

/** More than struct timex has on any 64-bit architecture. */
const TIMEX_SIZE = 256;
/** struct timex: modes u32, padding, then four longs, then status i32. */
const STATUS = 40;
/** adjtimex(2): the clock is not synchronised. */
const STA_UNSYNC = 0x40;

/** Whether a program (NTP, PTP) keeps the system's clock right. Changes nothing. @throws LinuxError without FFI */
export function clockSynchronised(): boolean {
  const adjtimex = openLibrary(null).bind<(timex: number) => number>('adjtimex', 'int', ['uintptr_t']);
  // With modes 0 the kernel changes nothing.
  const timex = hostBuffer(TIMEX_SIZE);
  adjtimex(addressOf(timex));
  return (new DataView(timex.buffer).getInt32(STATUS, true) & STA_UNSYNC) === 0;
}
