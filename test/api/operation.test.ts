import t from 'tap';
import { answered, done, operation } from '../../src/api/operation.js';
import { AdvertisedCidrs, NestedCidrs } from '../../src/api/schemas/answers.js';

const declared = {
  tag: 'Test',
  method: 'GET',
  path: '/test',
  id: 'test',
  summary: 'Test',
  errors: [],
} as const;

t.test('a handler answers nothing but what its operation promises', async (t) => {
  const made = operation({
    ...declared,
    success: { 200: NestedCidrs, 202: AdvertisedCidrs, 204: null },
    handle: async ({ params }) =>
      params.id === undefined ? done(204) : answered(202, { advertised_cidrs: [params.id] }),
  });
  t.same(await made.handle({ params: {} } as never, {} as never), { status: 204, body: undefined });
  const call = { params: { id: '10.0.0.0/8' } } as never;
  t.match(await made.handle(call, {} as never), { status: 202, body: { advertised_cidrs: ['10.0.0.0/8'] } });

  const success = { 200: NestedCidrs, 204: null };
  // @ts-expect-error: a status without its body
  operation({ ...declared, success, handle: async () => done(200) });
  // @ts-expect-error: a status that is not promised
  operation({ ...declared, success, handle: async () => done(202) });
  const advertised = answered(200, { advertised_cidrs: ['10.0.0.0/8'] });
  // @ts-expect-error: the body of another schema
  operation({ ...declared, success, handle: async () => advertised });
  // @ts-expect-error: a body with a value of another type
  operation({ ...declared, success, handle: async () => answered(200, { cidrs: [10] }) });
  // @ts-expect-error: a body where none is promised
  operation({ ...declared, success, handle: async () => answered(204, { cidrs: [] }) });
});
