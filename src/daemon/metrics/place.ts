import { isLoopbackHost, readListener, type TcpListener } from '../../api/listeners.js';
import { ok, type Result } from '../../util/result.js';

/** Where metrics are served: an address and a TCP port, or the path of a Unix socket. */
export type MetricsPlace = TcpListener | { readonly path: string };

/** What holds a slash is the path of a socket, anything else `address:port`; else why it is neither. */
export function readMetricsPlace(text: string): Result<MetricsPlace, string> {
  return text.includes('/') ? ok({ path: text }) : readListener(text);
}

/** Whether only processes of this machine reach the place. */
export function isLocalPlace(place: MetricsPlace): boolean {
  return 'path' in place || isLoopbackHost(place.host);
}
