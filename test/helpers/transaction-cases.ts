import { IKE, policyConnection } from './api-lab.js';
import type { OperationCases } from './case-words.js';
import type { ContractCase } from './contract-world.js';

const steps = (...list: readonly object[]): Partial<ContractCase> => ({ body: { steps: list } });
const no = (status: number, code: string, more: Partial<ContractCase>): ContractCase => ({
  status,
  code,
  ...more,
});

const create = (body: object, gateway: object = { id: '{gw}' }): object => ({
  operation: 'create_vpn_gateway_connection',
  gateway,
  body,
});

/** Refusals of a transaction itself: those of its steps are the refusals of their operations. */
export const transactionCases: OperationCases = {
  cases: [
    no(400, 'bad_request', { raw: '' }),
    no(400, 'bad_field', { body: { steps: [], colour: 'blue' } }),
    no(400, 'validation_required_field', { body: {} }),
    no(400, 'validation_enum', steps({ operation: 'list_vpcs' })),
    no(400, 'validation_required_field', steps({ operation: 'delete_ike_policy' })),
    no(400, 'bad_field', steps({ operation: 'create_ike_policy', id: '{ike}', body: IKE })),
    no(400, 'validation_only_one', steps(create(policyConnection(7), { id: '{gw}', name: 'gw' }))),
    no(404, 'vpn_gateway_not_found', steps(create(policyConnection(7), { name: 'none' }))),
    no(404, 'ike_policy_not_found', steps(create(policyConnection(7, { ike_policy: { name: 'none' } })))),
    no(409, 'vpn_gateway_invalid_state', steps(create(policyConnection(7), { id: '{dying}' }))),
    no(
      409,
      'vpn_connection_duplicate_name',
      steps(create(policyConnection(7)), create(policyConnection(8, { name: 'connection-7' }))),
    ),
    no(
      400,
      'vpn_connection_cidr_overlap',
      steps(
        create(policyConnection(7)),
        create(policyConnection(8, { peer: { address: '169.21.50.8', cidrs: ['10.7.1.0/24'] } })),
      ),
    ),
    no(413, 'http_request_size_exceeded', { raw: JSON.stringify({ steps: ['x'.repeat(5_000_000)] }) }),
    no(415, 'bad_request', { raw: '{}', headers: () => ({ 'content-encoding': 'br' }) }),
    { status: 200, body: { dry_run: true, steps: [create(policyConnection(7))] } },
    {
      status: 200,
      body: { steps: [create(policyConnection(7)), { operation: 'delete_ike_policy', id: '{ike2}' }] },
    },
  ],
};
