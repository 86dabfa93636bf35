import assert from 'node:assert/strict';
import { Ajv, type ErrorObject } from 'ajv';
import fc from 'fast-check';
import t from 'tap';
import { faultFinder, type SchemaFault } from '../../src/util/json-faults.js';
import * as Type from '../../src/util/json-schema.js';

const closed = { additionalProperties: false } as const;

/** Every keyword that is known, several of them on one value where they can meet. */
const SCHEMA = Type.Object(
  {
    name: Type.String({ minLength: 2, maxLength: 4, pattern: '^[a-z😀]+$', description: 'a name' }),
    count: Type.Optional(Type.Integer({ minimum: 2, maximum: 5 })),
    flag: Type.Boolean(),
    word: Type.Optional(Type.Enum(['a', 'b', 3])),
    kind: Type.Literal('kind'),
    version: Type.Optional(Type.Literal(2)),
    list: Type.Optional(
      Type.Array(Type.Enum(['x', 'y', 'z']), { minItems: 1, maxItems: 3, uniqueItems: true }),
    ),
    objects: Type.Optional(
      Type.Array(
        Type.Object({ at: Type.Integer({ minimum: 1 }), 'a/b~c': Type.Optional(Type.String()) }, closed),
        {
          maxItems: 2,
        },
      ),
    ),
    names: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 1 }))),
    open: Type.Optional(Type.Object({ inner: Type.Optional(Type.Boolean()) })),
  },
  closed,
);

const faults = faultFinder(SCHEMA);
const ajv = new Ajv({ allErrors: true, verbose: true, strict: true }).compile(SCHEMA);

interface Finding {
  readonly keyword: string;
  readonly pointer: string;
  readonly detail: unknown;
  readonly data: unknown;
  readonly description: unknown;
}

function ours({ keyword, path, field, limit, index, data, schema }: SchemaFault): Finding {
  const pointer = path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  return { keyword, pointer, detail: field ?? limit ?? index, data, description: schema.description };
}

function theirs({ keyword, instancePath, params, data, parentSchema }: ErrorObject): Finding {
  const { missingProperty, additionalProperty, limit, i } = params as Record<string, unknown>;
  const detail = missingProperty ?? additionalProperty ?? limit ?? i;
  return { keyword, pointer: instancePath, detail, data, description: parentSchema?.description };
}

function expected(value: unknown): Finding[] {
  return ajv(value) ? [] : (ajv.errors ?? []).map(theirs);
}

const FIELDS = [...Object.keys(SCHEMA.properties), 'at', 'a/b~c', 'inner', 'unknown', '__proto__', '0', ''];

/** Values near the schema: its fields, its words and what is beside them, nested at will. */
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('', 'a', 'ab', 'x', 'y', 'z', 'kind', 'abcde', '😀😀😀', 'A', '1'),
    fc.constantFrom(null, true, false, 0, 1, 2, 3, 5, 6, 2.5, -1, 1e300),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.constantFrom('x', 'y', 'z', 'w'), { maxLength: 4 }),
    fc.array(fc.record({ at: tie('value'), 'a/b~c': tie('value') }, { requiredKeys: [] }), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...FIELDS), tie('value'), { maxKeys: 4 }),
  ),
})).value;

const nearly = fc.record(
  {
    name: value,
    count: value,
    flag: value,
    word: value,
    kind: value,
    version: value,
    list: value,
    objects: value,
    names: value,
    open: value,
  },
  { requiredKeys: [] },
);

t.test('finds what Ajv finds, in the same order', async () => {
  // As what comes off a wire: own properties alone, `__proto__` among them.
  const parsed = (one: unknown): unknown => JSON.parse(JSON.stringify(one));
  fc.assert(
    fc.property(fc.oneof(value, nearly), (one) => {
      const given = parsed(one);
      assert.deepStrictEqual(faults(given).map(ours), expected(given));
    }),
    { numRuns: 3000 },
  );
});

t.test('each keyword, met and not met', async (t) => {
  const good = { name: 'ab', flag: true, kind: 'kind' };
  t.same(faults(good), []);
  const cases: readonly [object, string, string][] = [
    [{ ...good, name: 'a' }, '/name', 'minLength'],
    [{ ...good, name: '😀😀😀😀' }, '', ''],
    [{ ...good, name: '😀😀😀😀😀' }, '/name', 'maxLength'],
    [{ ...good, name: 'AB' }, '/name', 'pattern'],
    [{ ...good, name: 7 }, '/name', 'type'],
    [{ ...good, count: 1 }, '/count', 'minimum'],
    [{ ...good, count: 6 }, '/count', 'maximum'],
    [{ ...good, count: 2.5 }, '/count', 'type'],
    [{ ...good, flag: 'true' }, '/flag', 'type'],
    [{ ...good, word: 'c' }, '/word', 'enum'],
    [{ ...good, kind: 'other' }, '/kind', 'const'],
    [{ ...good, list: [] }, '/list', 'minItems'],
    [{ ...good, list: ['x', 'y', 'z', 'w'] }, '/list', 'maxItems'],
    [{ ...good, list: ['x', 'y', 'x'] }, '/list', 'uniqueItems'],
    [{ ...good, objects: [{ at: 1 }, {}] }, '/objects/1', 'required'],
    [{ ...good, objects: [{ at: 1, more: 1 }] }, '/objects/0', 'additionalProperties'],
    [{ ...good, names: { any: 'ab' } }, '/names/any', 'maxLength'],
    [{ ...good, open: { anything: 1 } }, '', ''],
    [{ ...good, open: [] }, '/open', 'type'],
  ];
  for (const [given, pointer, keyword] of cases) {
    const [first] = faults(given).map(ours);
    t.equal(first?.keyword ?? '', keyword, JSON.stringify(given));
    t.equal(first?.pointer ?? '', pointer);
  }
});

t.test('what is undefined is not there', async (t) => {
  const good = { name: 'ab', flag: true, kind: 'kind', count: undefined, unknown: undefined };
  t.same(faults(good), []);
  t.match(faults({ ...good, name: undefined }).map(ours), [{ keyword: 'required', detail: 'name' }]);
  t.match(faults(undefined).map(ours), [{ keyword: 'type', pointer: '' }]);
  t.match(faults({ ...good, objects: [undefined] }).map(ours), [{ keyword: 'type', pointer: '/objects/0' }]);
});

t.test('a field whose name is half a character is an unknown one, wherever it is', async (t) => {
  const good = { name: 'ab', flag: true, kind: 'kind' };
  const cases: readonly [object, SchemaFault['path']][] = [
    [{ ...good, '\ud800': 1 }, []],
    [{ ...good, names: { a: 'b', 'x\udfff': 'y' } }, ['names']],
    [{ ...good, objects: [{ at: 1 }, { '\udc00': 1 }] }, ['objects', 1]],
    [{ ...good, open: { inner: { '\ud800': {} } } }, ['open', 'inner']],
  ];
  for (const [given, path] of cases) {
    t.match(faults(given), [{ keyword: 'additionalProperties', path, field: '\ufffd' }]);
  }
});

t.test('a schema with what is not known is refused, at any depth', async (t) => {
  t.throws(() => faultFinder({ format: 'ipv4' }), { message: /"format"/ });
  t.throws(
    () => faultFinder({ type: 'object', properties: { a: { items: { oneOf: [] }, type: 'array' } } }),
    {
      message: /"oneOf"/,
    },
  );
  t.throws(() => faultFinder({ type: 'null' }), { message: /"null"/ });
});
