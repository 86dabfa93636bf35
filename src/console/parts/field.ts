/** What a field has that shows `value`, gives what is entered to `put`, and says what is wrong with it. */
export function fieldProps(
  id: string,
  value: string,
  put: (value: string) => void,
  issue: string | undefined,
) {
  return {
    id,
    value,
    onChange: ({ target }: { readonly target: { readonly value: string } }) => put(target.value),
    invalid: issue !== undefined,
    invalidText: issue,
  };
}
