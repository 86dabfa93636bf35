import type { RoutedVpc, RouteTrail } from '../../api/runner.js';
import type { Passage } from './namespace-routes.js';

/** A route whose packets go another way than before. */
export interface RouteMove {
  readonly route: string;
  readonly name: string;
  readonly gateway: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/**
 * Remembers through which tunnels routes lead, and since when. Of routes that are no longer asked for nothing is kept,
 * nor of gateways that are no more.
 */
export class RouteTrails {
  readonly #trails = new Map<string, RouteTrail & Pick<RouteMove, 'name' | 'gateway'>>();
  readonly #moves = new Map<string, number>();

  forget(gateway: string): void {
    this.#moves.delete(gateway);
  }

  /** Moves of all routes to connections of a gateway, those of routes that are gone, too. */
  movesOf(gateway: string): number {
    return this.#moves.get(gateway) ?? 0;
  }

  of(route: string): RouteTrail | undefined {
    const known = this.#trails.get(route);
    if (known === undefined) return undefined;
    const { devices, movedAt, moves } = known;
    return { devices, movedAt, moves };
  }

  /**
   * Takes over what is in force now.
   * @param now milliseconds since 1970
   * @returns the routes that have moved
   */
  note(vpcs: readonly RoutedVpc[], passages: readonly Passage[], now: number): RouteMove[] {
    const tables = vpcs.flatMap((vpc) => vpc.tables);
    const routes = tables.flatMap((table) => table.routes);
    const asked = new Set([...routes.flatMap(({ ids }) => ids), ...tables.flatMap(({ skipped }) => skipped)]);
    for (const id of this.#trails.keys()) if (!asked.has(id)) this.#trails.delete(id);
    const moves = passages.flatMap(({ of, devices, isNew }) =>
      of.ids.flatMap((id) => this.#become(id, devices, { now, name: of.name, gateway: of.gateway!, isNew })),
    );
    const passing = new Set(passages.flatMap(({ of }) => of.ids));
    const unknown = new Set(routes.flatMap(({ ids, way }) => ('unknown' in way ? ids : [])));
    for (const [id, { name, gateway }] of this.#trails) {
      if (passing.has(id) || unknown.has(id)) continue;
      moves.push(...this.#become(id, [], { now, name, gateway, isNew: false }));
    }
    return moves;
  }

  #become(
    route: string,
    devices: readonly string[],
    { now, name, gateway, isNew }: Pick<RouteMove, 'name' | 'gateway'> & { now: number; isNew: boolean },
  ): RouteMove[] {
    const known = this.#trails.get(route);
    const from = known?.devices ?? [];
    const isSame = known !== undefined && String(from) === String(devices);
    if (isSame) {
      if (known.name !== name) this.#trails.set(route, { ...known, name });
      return [];
    }
    // The first that is seen of a route that was there before says nothing about when it came.
    const movedAt = known === undefined && !isNew ? undefined : now;
    const moves = known === undefined ? 0 : known.moves + 1;
    this.#trails.set(route, { name, gateway, devices, movedAt, moves });
    if (known === undefined) return [];
    this.#moves.set(gateway, this.movesOf(gateway) + 1);
    return [{ route, name, gateway, from, to: devices }];
  }
}
