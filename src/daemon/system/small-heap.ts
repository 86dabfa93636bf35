import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the JavaScript heap near what is in use. By default V8 lets it grow to several times that before it
 * collects, which is quick for short programs; a gateway runs for months, allocates next to nothing for a packet,
 * and with 10,000 child SAs would hold twice the memory for nothing. Collections come more often while SAs are
 * negotiated. Call it early: the heap grows soon.
 */
export function keepHeapSmall(): void {
  // The heap may be so much larger than what the last collection left, in percent.
  setFlagsFromString('--heap-growing-percent=20');
}
