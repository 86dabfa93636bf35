import type { IkeEvent, IkeSaInfo } from '../../ike/events.js';
import type { ConnectionId } from '../../util/ids.js';
import type { EventConsumer } from './event-bus.js';

/** Which IKE SAs are established, and where their peers are. */
export class EstablishedIkes implements EventConsumer {
  readonly #ikes = new Map<number, { readonly connection: ConnectionId; readonly ike: IkeSaInfo }>();

  get size(): number {
    return this.#ikes.size;
  }

  of(connection: ConnectionId): IkeSaInfo[] {
    return [...this.#ikes.values()].flatMap((one) => (one.connection === connection ? [one.ike] : []));
  }

  handle(event: IkeEvent): void {
    if (event.kind === 'ike-established') {
      const { connection, ike } = event;
      this.#ikes.set(ike.ikeId, { connection, ike });
    } else if (event.kind === 'ike-closed') {
      this.#ikes.delete(event.ikeId);
    } else if (event.kind === 'peer-moved') {
      const known = this.#ikes.get(event.ikeId);
      if (known !== undefined)
        this.#ikes.set(event.ikeId, { ...known, ike: { ...known.ike, peer: event.to } });
    }
  }
}
