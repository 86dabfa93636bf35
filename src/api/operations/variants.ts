import type { TSchema } from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import { type Dialect, dialectOf } from '../dialect.js';
import type { IssueNames } from '../errors.js';

/** Dates of the forms that bodies have had; the newest first. */
const DATES = ['2026-01-01', '2024-04-29', '2020-11-12', '2019-01-01'] as const;

/** The form that bodies have now. */
export const NEWEST = dialectOf(DATES[0]);

/** What is made once for each form of bodies. */
export interface Variants<T> {
  of(dialect: Dialect): T;
  readonly newest: Dialect;
}

/** Makes one of `T` for each form of bodies, now, so that no request pays for it. */
export function byDialect<T>(make: (dialect: Dialect) => T): Variants<T> {
  const made = DATES.map((date) => {
    const dialect = dialectOf(date);
    return { dialect, value: make(dialect) };
  });
  return {
    of: ({ early, modes, flatConnections }) =>
      made.find(
        ({ dialect }) =>
          dialect.early === early && dialect.modes === modes && dialect.flatConnections === flatConnections,
      )!.value,
    newest: made[0]!.dialect,
  };
}

/** Readers of the bodies of an operation that creates and one that changes, in each form. */
export function readersOf<C extends TSchema, P extends TSchema>(
  bodies: (dialect: Dialect) => { readonly create: C; readonly patch: P },
  names: IssueNames,
  patchNames = names,
): Variants<{ readonly create: BodyReader<C>; readonly patch: BodyReader<P> }> {
  return byDialect((dialect) => {
    const { create, patch } = bodies(dialect);
    return { create: new BodyReader(create, names), patch: new BodyReader(patch, patchNames) };
  });
}
