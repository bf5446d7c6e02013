/** Stories with two people are told twice: both with a home, and one of them without. */
import { expect, test } from '@playwright/test';
import { useCourtyard, type Courtyard, type Home } from './courtyard';
import type { Person } from './person';

export const mei = '林美';
export const tom = 'Tomás';

export interface Cast {
  readonly yard: Courtyard;
  /** the owner, always with a home */
  mei: Person;
  meisHome: Home;
  tom: Person;
  /** undefined where Tomás has none */
  tomsHome: Home | undefined;
  /** where a letter to Tomás rests before he has read it, as its tick says */
  readonly restsAtToms: string;
}

/** Before each of the tests both look at their conversation. */
export function stories(title: string, tell: (cast: Cast, homeless: boolean) => void): void {
  for (const homeless of [false, true]) {
    test.describe(`${title}, ${homeless ? 'Tomás without a home' : 'both with a home'}`, () => {
      const yard = useCourtyard();
      const cast: Partial<Cast> & { yard: Courtyard; restsAtToms: string } = {
        yard,
        restsAtToms: homeless ? `Kept at ${tom}’s courtyard` : `Safe in ${tom}’s home`,
      };
      test.beforeAll(async ({ browser }) => {
        test.setTimeout(120_000);
        cast.meisHome = await yard.home();
        cast.mei = await yard.person(browser);
        await cast.mei.joins(yard.claim(cast.meisHome), mei);
        await hasHome(cast.mei);
        cast.tom = await yard.person(browser);
        await cast.tom.joins(await cast.mei.invites(), tom);
        cast.tomsHome = homeless ? undefined : await movesIn(yard, cast.tom);
      });
      test.beforeEach(async () => {
        await cast.mei?.opensChatWith(tom);
        await cast.tom?.opensChatWith(mei);
      });
      tell(cast as Cast, homeless); // filled before the first test runs
    });
  }
}

/** Shows a code in the app and starts a home with it. */
export async function movesIn(yard: Courtyard, person: Person): Promise<Home> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows('Set up a home');
  await person.follows('Pair a home');
  const box = person.page.getByRole('group', { name: 'Pairing code' });
  await expect(box).toContainText('/');
  const home = await yard.home((await box.innerText()).trim());
  await expect(person.page.getByRole('heading', { name: 'Your home is fine' })).toBeVisible({ timeout: 60_000 });
  return home;
}

/** Looks at Me until the home answers. */
export async function hasHome(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await expect(person.page.getByText('Your home is fine')).toBeVisible({ timeout: 60_000 });
}
