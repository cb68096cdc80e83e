// The page "Reproduced elsewhere": scores from another machine beside those in the repository.
{
  const { profile, scores: committed } = self.eamambaCommitted;
  const root = document.getElementById('compare');
  const element = (selector) => root.querySelector(selector);
  const pasted = element('textarea');
  const task = element('select');

  let report = ''; // Markdown of what is on show

  const isNumber = (value) => typeof value === 'number';

  /** Scores by their path: {'held-out photographs': {all: {psnr_db: 30}}} has one. */
  function flatten(value, path = []) {
    if (isNumber(value)) return { [path.join(', ')]: value };
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return {};
    return Object.assign({}, ...Object.entries(value).map(([key, one]) => flatten(one, [...path, key])));
  }

  const sameKeys = (one, other) =>
    Object.keys(one).length === Object.keys(other).length && Object.keys(one).every((key) => key in other);

  /** The task whose committed scores have the same names and are nearest. */
  function taskOf(scores) {
    const distance = (other) =>
      Object.entries(scores).reduce((sum, [key, value]) => sum + Math.abs(value - other[key]), 0);
    return Object.keys(committed)
      .filter((name) => sameKeys(scores, flatten(committed[name])))
      .sort((a, b) => distance(flatten(committed[a])) - distance(flatten(committed[b])))[0];
  }

  /** Scores by task, from the text of metrics.json or of "dvc metrics show --json". */
  function read(text, chosen) {
    let value;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new Error(`This is no JSON (${error.message}); expected the text of a metrics.json.`);
    }
    const files = value?.['']?.data;
    if (files) {
      const found = {};
      for (const [file, { data }] of Object.entries(files)) {
        const [, where, name] = file.match(/^results\/([^/]+)\/(.+)\/metrics\.json$/) ?? [];
        if (where === profile && name in committed) found[name] = flatten(data ?? {});
      }
      if (Object.keys(found).length) return found;
      throw new Error(`These are no scores of the profile ${profile}; set "profile: ${profile}" in params.yaml.`);
    }
    const scores = flatten(value);
    if (!Object.keys(scores).length) throw new Error('There is no score in it; expected a metrics.json.');
    const name = chosen || taskOf(scores);
    if (!name) {
      throw new Error(`No task of the profile ${profile} has scores of these names: choose the task.`);
    }
    return { [name]: scores };
  }

  /** One row per score of both: task, score, committed, yours and the difference. */
  const rowsOf = (yours) =>
    Object.entries(yours).flatMap(([name, scores]) => {
      const ours = flatten(committed[name]);
      return Object.keys(ours)
        .filter((key) => key in scores)
        .map((key) => ({ name, key, ours: ours[key], theirs: scores[key], difference: scores[key] - ours[key] }));
    });

  const format = (value) => String(Number(value.toPrecision(6))).replace('-', '−');

  function summary(rows) {
    const same = rows.filter(({ difference }) => difference === 0).length;
    const sizes = rows.map(({ difference }) => Math.abs(difference));
    const furthest = rows[sizes.indexOf(Math.max(...sizes))];
    const start = `${same} of ${rows.length} scores are the same as committed.`;
    if (same === rows.length) return start;
    const db = rows.filter(({ key }) => key.endsWith('psnr_db'));
    const most = Math.max(0, ...db.map(({ difference }) => Math.abs(difference)));
    return `${start} Largest deviation: ${format(furthest.difference)} (${furthest.name}, ${furthest.key}); `
      + `of a mean PSNR: ${format(most)} dB.`;
  }

  function show() {
    element('.compare-result').hidden = true;
    const said = element('[role=status]');
    said.classList.remove('scripted-error');
    said.textContent = '';
    if (!pasted.value.trim()) return;
    let rows;
    try {
      rows = rowsOf(read(pasted.value, task.value));
      if (!rows.length) throw new Error('None of these scores is in the repository: choose another task.');
    } catch (error) {
      said.textContent = error.message;
      said.classList.add('scripted-error');
      return;
    }
    said.textContent = summary(rows);
    const head = ['Of', 'Score', 'Committed', 'Yours', 'Difference'];
    const cells = rows.map(({ name, key, ours, theirs, difference }) =>
      [name, key, format(ours), format(theirs), difference ? format(difference) : 'same']);
    report = [summary(rows), '', `| ${head.join(' | ')} |`, '|---|---|--:|--:|--:|',
      ...cells.map((row) => `| ${row.join(' | ')} |`), ''].join('\n');
    element('tbody').replaceChildren(...cells.map((row, number) => {
      const line = document.createElement('tr');
      line.classList.toggle('compare-differs', rows[number].difference !== 0);
      line.append(...row.map((text) => Object.assign(document.createElement('td'), { textContent: text })));
      return line;
    }));
    element('.compare-result').hidden = false;
  }

  async function take(file) {
    pasted.value = await file.text();
    show();
  }

  task.append(...Object.keys(committed).map((name) => new Option(name, name)));
  task.addEventListener('change', show);
  pasted.addEventListener('input', show);
  element('[type=file]').addEventListener('change', ({ target }) => target.files[0] && take(target.files[0]));
  root.addEventListener('dragover', (event) => event.preventDefault());
  root.addEventListener('drop', (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  element('[name=save]').addEventListener('click', () => {
    const url = URL.createObjectURL(new Blob([report], { type: 'text/markdown' }));
    Object.assign(document.createElement('a'), { href: url, download: 'reproduced.md' }).click();
    URL.revokeObjectURL(url);
  });
  root.hidden = false;
}
