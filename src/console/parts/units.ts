const OCTETS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
const RATES = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'] as const;

/** Octets in powers of a thousand: `1.52 GB`. */
export function octets(count: number): string {
  return scaled(count, OCTETS);
}

/** Bits per second: `3.4 Mbit/s`. */
export function rate(bitsPerSecond: number): string {
  return scaled(bitsPerSecond, RATES);
}

/** A whole number with its thousands apart. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `1 connection`, `2 connections`. */
export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function scaled(value: number, units: readonly string[]): string {
  let scale = 0;
  let left = value;
  while (left >= 1000 && scale < units.length - 1) {
    left /= 1000;
    scale++;
  }
  const digits = scale === 0 ? 0 : left < 10 ? 2 : left < 100 ? 1 : 0;
  return `${left.toFixed(digits)} ${units[scale]}`;
}
