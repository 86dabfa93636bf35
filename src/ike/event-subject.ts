import type { ChildId, ConnectionId, IkeId } from '../util/ids.js';
import type { IkeEvent } from './events.js';

/** What an event is about, as far as it is known. */
export interface EventSubject {
  readonly connection?: ConnectionId;
  readonly ikeId?: IkeId;
  readonly childId?: ChildId;
}

/** The connection and the SA an event is about. */
export function subjectOf(event: IkeEvent): EventSubject {
  switch (event.kind) {
    case 'ike-established':
      return { connection: event.connection, ikeId: event.ike.ikeId };
    case 'child-established': {
      const { childId, ikeId } = event.child;
      return { connection: event.connection, ikeId, childId };
    }
    case 'cookie-demanded':
    case 'datagram-dropped':
      return {};
    default:
      // All others have these very fields, those of them that they know.
      return event;
  }
}
