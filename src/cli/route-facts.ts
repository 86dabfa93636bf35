import type { ConnectionStatusDocument } from '../connection/status.js';
import { formatDuration } from './amounts.js';

/**
 * The networks that are routed into the device of a connection, those apart that another connection carries now.
 * @param now milliseconds since 1970
 */
export function routeFacts(
  routes: NonNullable<ConnectionStatusDocument['routes']>,
  now: number,
): [title: string, networks: string][] {
  const textOf = ({ destination, moved_at }: (typeof routes)[number]): string =>
    moved_at === undefined ? destination : `${destination} for ${formatDuration(now - Date.parse(moved_at))}`;
  const carried = routes.filter(({ carries }) => carries).map(textOf);
  const others = routes.filter(({ carries }) => !carries).map(textOf);
  const facts: [string, string][] = [
    ['carries', carried.join(', ')],
    ['left to others', others.join(', ')],
  ];
  return facts.filter(([, networks]) => networks !== '');
}
