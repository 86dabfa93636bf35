import t from 'tap';
import * as typebox from 'typebox';
import * as Type from '../../src/util/json-schema.js';

t.test('the builders make the schemas that TypeBox makes', async (t) => {
  // Every builder with and without options, nested and optional; keys in the same order, as documents show them.
  const example = (of: typeof typebox | typeof Type): object => {
    const type = of as typeof typebox;
    const name = type.String({ minLength: 1, pattern: '^a', description: 'a name' });
    return type.Object(
      {
        name,
        shared: type.Optional(name),
        number: type.Optional(type.Integer({ minimum: 1, maximum: 5 })),
        plain: type.Integer(),
        share: type.Number({ minimum: 0 }),
        flag: type.Boolean({ description: 'on or off' }),
        word: type.Enum(['a', 'b', 3], { description: 'one of them' }),
        words: type.Array(type.Enum(['x']), { minItems: 1, maxItems: 3, uniqueItems: true }),
        texts: type.Array(type.String()),
        names: type.Record(type.String(), type.Boolean()),
        format: type.Literal('of this kind'),
        version: type.Literal(1),
        any: type.Unsafe<object>({ type: 'object', description: 'anything' }),
        empty: type.Optional(type.Object({})),
        inner: type.Object({ only: type.Optional(type.String()) }, { additionalProperties: false }),
      },
      { additionalProperties: false, $id: 'Example', description: 'all there is' },
    );
  };
  t.equal(JSON.stringify(example(Type)), JSON.stringify(example(typebox)));
  const kept = Type.String();
  Type.Optional(kept);
  t.equal(
    JSON.stringify(Type.Object({ kept })),
    '{"type":"object","required":["kept"],"properties":{"kept":{"type":"string"}}}',
    'a schema that is optional in one place is not in another',
  );
});
