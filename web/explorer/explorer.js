// The page "Scan explorer". A classic script: pages opened as files may load no modules, but those
// whose text scan_data.js carries.
{
  const { network, pictures, deltaRange, A, weights } = self.eamambaScans;
  const root = document.getElementById('scans');
  const element = (selector) => root.querySelector(selector);
  const control = (name) => root.querySelector(`[name="${name}"]`);
  const NAMES = { zorder: 'Z-order', hilbert: 'Hilbert curve' };
  const RASTERS = ['rows', 'rows, reversed', 'columns', 'columns, reversed'];
  const COPIES = ['as it is', 'turned by 180°', 'mirrored left–right', 'mirrored top–bottom'];
  const COLOURS = [ // Okabe and Ito; yellow is too pale for lines on white
    '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#8C6BB1', '#7F7F7F',
  ];
  const ARROWS = ['↖', '↑', '↗', '←', '→', '↙', '↓', '↘'];
  const NEIGHBOURS = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  let scanOrder; // of web/eamamba.js
  let side;
  let paths; // one a head: {order, step: raster position -> step, total: [channel][step] sum of Δ}
  let at; // [row, column] of the chosen pixel
  let memory; // one a head: step -> the share left on arrival at the chosen pixel
  let picture; // RGB bytes

  const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const position = ([row, column]) => row * side + column;
  const isInside = (place) => place.every((i) => i >= 0 && i < side);
  const percent = (share) => (share < 0.001 ? '<0.1 %' : `${(100 * share).toFixed(1)} %`);
  const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;
  const mean = (numbers) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;

  function titles(pattern) {
    if (pattern === 'raster') return [...RASTERS, ...RASTERS.map((name) => `${name}, mirrored`)];
    return [...COPIES.map((copy) => `${NAMES[pattern] ?? pattern}, ${copy}`), ...RASTERS];
  }

  /** Lay every head's path over the picture, with the sums of Δ along it. */
  function plan() {
    const [pattern, heads] = [control('pattern').value, Number(control('heads').value)];
    side = Number(control('side').value);
    picture = bytesOf(pictures[side].rgb);
    const length = side * side;
    const channels = A[0].length;
    const [smallest, largest] = deltaRange;
    const delta = Float64Array.from(bytesOf(pictures[side].delta), (level) =>
      smallest * (largest / smallest) ** (level / 255),
    );
    const orders = scanOrder(pattern, heads, side, side);
    const names = titles(pattern);
    paths = Array.from({ length: heads }, (_, head) => {
      const order = orders.subarray(head * length, (head + 1) * length);
      const step = new Int32Array(length);
      order.forEach((p, t) => (step[p] = t));
      const total = Array.from({ length: channels }, () => new Float64Array(length));
      total.forEach((sums, channel) => {
        let sum = 0;
        order.forEach((p, t) => {
          sum += delta[(head * length + p) * channels + channel];
          sums[t] = sum;
        });
      });
      return { name: names[head], order, step, total };
    });
  }

  /**
   * The share that a head has left, on arrival at the chosen pixel, of what it put into its memory
   * at each earlier step: exp(A · sum of Δ since then), mean over its channels and states.
   */
  function remember({ step, total }, head) {
    const now = step[position(at)];
    const left = new Float64Array(now);
    for (let t = now - 1; t >= 0; t--) {
      left[t] = mean(
        A[head].map((rates, channel) => {
          const sum = total[channel][now] - total[channel][t];
          return mean(rates.map((rate) => Math.exp(rate * sum)));
        }),
      );
      if (left[t] < 1e-5) break; // as good as nothing, and earlier ones have less
    }
    return left;
  }

  /** What each head brings of each neighbour: {steps, left}, or nothing if it comes there later. */
  function neighbours() {
    return NEIGHBOURS.map(([down, right]) => {
      const place = [at[0] + down, at[1] + right];
      if (!isInside(place)) return null;
      return paths.map(({ step }, head) => {
        const [from, now] = [step[position(place)], step[position(at)]];
        return from < now ? { steps: now - from, left: memory[head][from] } : undefined;
      });
    });
  }

  /** The nearest and the best kept of what the heads bring. */
  function best(brought) {
    const earlier = brought.filter(Boolean);
    if (!earlier.length) return undefined;
    return {
      steps: Math.min(...earlier.map(({ steps }) => steps)),
      left: Math.max(...earlier.map((one) => one.left)),
    };
  }

  const cell = (tag, ...lines) => {
    const made = document.createElement(tag);
    lines.forEach((line, i) => made.append(...(i ? [document.createElement('br')] : []), line));
    return made;
  };

  const describe = (one) => (one ? [count(one.steps, 'step'), percent(one.left)] : ['later']);

  function fillGrid(found) {
    const cells = found.map((brought, i) => {
      const made = cell('td', ARROWS[i], ...(brought ? describe(best(brought)) : ['outside']));
      const share = (brought && best(brought)?.left) || 0;
      made.style.setProperty('--left', share.toFixed(4));
      return made;
    });
    cells.splice(4, 0, cell('td', 'the pixel'));
    const rows = [0, 3, 6].map((start) => {
      const row = document.createElement('tr');
      row.append(...cells.slice(start, start + 3));
      return row;
    });
    element('.scans-grid tbody').replaceChildren(...rows);
  }

  function fillTable(found) {
    const rows = paths.map(({ name }, head) => {
      const row = document.createElement('tr');
      const title = cell('th', `${head + 1}: ${name}`);
      title.scope = 'row';
      row.append(
        title,
        ...found.map((brought) => cell('td', ...(brought ? describe(brought[head]) : ['–']))),
      );
      return row;
    });
    element('.scans-table tbody').replaceChildren(...rows);
  }

  /** A canvas of `pixels` screen pixels for each pixel of the picture, ready to draw on. */
  function prepare(canvas) {
    const size = canvas.classList.contains('scans-picture') ? 512 : 256;
    canvas.width = canvas.height = size;
    const context = canvas.getContext('2d');
    context.scale(size / side, size / side);
    return context;
  }

  function outline(context, [row, column], colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = (width * side) / 256;
    context.strokeRect(column, row, 1, 1);
  }

  /** The picture as far as the memory holds it when the heads arrive at the chosen pixel. */
  function drawPicture() {
    const context = prepare(element('.scans-picture'));
    for (let p = 0; p < side * side; p++) {
      const kept = paths.map(({ step }, head) => memory[head][step[p]] ?? 0);
      context.globalAlpha = p === position(at) ? 1 : Math.sqrt(Math.max(...kept));
      context.fillStyle = `rgb(${picture.subarray(3 * p, 3 * p + 3).join(' ')})`;
      context.fillRect(p % side, Math.floor(p / side), 1, 1);
    }
    context.globalAlpha = 1;
    outline(context, at, '#fff', 6);
    outline(context, at, '#000', 2);
  }

  /** One head's path: thick behind the chosen pixel as far as it is remembered, thin ahead. */
  function drawHead(canvas, head) {
    const context = prepare(canvas);
    const { order, step } = paths[head];
    const now = step[position(at)];
    const centre = (p) => [(p % side) + 0.5, Math.floor(p / side) + 0.5];
    context.lineCap = context.lineJoin = 'round';
    context.strokeStyle = '#888';
    context.globalAlpha = 0.35;
    context.lineWidth = side / 256;
    context.beginPath();
    order.forEach((p) => context.lineTo(...centre(p)));
    context.stroke();
    context.strokeStyle = COLOURS[head];
    context.lineWidth = Math.max(0.3, side / 100);
    for (let t = 0; t < now; t++) {
      context.globalAlpha = Math.sqrt(memory[head][t]);
      if (context.globalAlpha < 0.02) continue;
      context.beginPath();
      context.moveTo(...centre(order[t]));
      context.lineTo(...centre(order[t + 1]));
      context.stroke();
    }
    context.globalAlpha = 1;
    outline(context, at, COLOURS[head], 5);
  }

  /** What is left of what was seen 1, 2, 4 ... steps ago, one line a head; marks: the neighbours. */
  function drawDecay(found) {
    const chart = element('.scans-decay');
    const width = Math.max(chart.getBoundingClientRect().width, 300); // letters keep their size
    const [height, [west, north, east, south]] = [260, [48, 12, 24, 40]];
    const length = side * side;
    const x = (steps) =>
      west + ((width - west - east) * Math.log2(steps)) / Math.log2(length);
    const y = (share) => north + (height - north - south) * (1 - share);
    const parts = [];
    for (let share = 0; share <= 1; share += 0.25) {
      parts.push(
        `<path d="M${west} ${y(share)}H${width - east}" class="scans-rule"/>` +
          `<text x="${west - 6}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`,
      );
    }
    for (let steps = 1; steps <= length; steps *= 4) {
      parts.push(
        `<text x="${x(steps)}" y="${height - south + 18}" text-anchor="middle">${steps}</text>`,
      );
    }
    parts.push(
      `<text x="${(west + width - east) / 2}" y="${height - 4}" text-anchor="middle">` +
        'steps ago</text>',
    );
    memory.forEach((left, head) => {
      const points = [];
      for (let steps = 1; steps <= left.length; steps = Math.ceil(steps * 1.05)) {
        points.push(`${x(steps).toFixed(1)},${y(left.at(-steps)).toFixed(1)}`);
      }
      parts.push(
        `<polyline points="${points.join(' ')}" fill="none" stroke="${COLOURS[head]}"/>`,
      );
      for (const brought of found) {
        const one = brought?.[head];
        if (one) {
          parts.push(
            `<circle cx="${x(one.steps).toFixed(1)}" cy="${y(one.left).toFixed(1)}" r="4" ` +
              `fill="${COLOURS[head]}"/>`,
          );
        }
      }
    });
    chart.setAttribute('viewBox', `0 0 ${width} ${height}`);
    chart.innerHTML = parts.join('');
  }

  function show() {
    memory = paths.map(remember);
    const found = neighbours();
    drawPicture();
    root.querySelectorAll('.scans-head').forEach((figure, head) => {
      figure.hidden = head >= paths.length;
      if (figure.hidden) return;
      drawHead(figure.querySelector('canvas'), head);
      const arrival = paths[head].step[position(at)] + 1;
      figure.querySelector('figcaption').textContent =
        `${head + 1}: ${paths[head].name}; comes here at step ${arrival} of ${side * side}`;
    });
    fillGrid(found);
    fillTable(found);
    drawDecay(found);
    const inside = found.filter(Boolean).map(best);
    const brought = inside.filter(Boolean);
    const farthest = Math.max(...brought.map(({ steps }) => steps));
    const least = Math.min(...brought.map((one) => one.left));
    const unseen = inside.length - brought.length;
    element('.scripted-said').textContent =
      `Row ${at[0] + 1}, column ${at[1] + 1}: ` +
      (brought.length
        ? `the farthest neighbour is ${count(farthest, 'step')} away, ` +
          `and of the least remembered one ${percent(least)} is left`
        : 'no head has seen a neighbour before') +
      (brought.length && unseen ? `; ${count(unseen, 'neighbour')} still unseen` : '') + '.';
  }

  function choose(place) {
    at = place.map((i) => Math.min(Math.max(i, 0), side - 1));
    show();
  }

  function start({ scanOrder: order, PATTERNS }) {
    scanOrder = order;
    for (const pattern of PATTERNS) {
      const name = NAMES[pattern] ?? pattern;
      control('pattern').append(new Option(name, pattern, false, pattern === 'raster'));
    }
    for (const n of Object.keys(pictures)) {
      control('side').append(new Option(`${n}×${n} pixels`, n, false, n === '32'));
    }
    element('.scans-weights').textContent = weights;
    COLOURS.forEach((colour) => {
      const figure = document.createElement('figure');
      figure.className = 'scans-head';
      figure.style.setProperty('--colour', colour);
      figure.append(document.createElement('canvas'), document.createElement('figcaption'));
      element('.scans-heads').append(figure);
    });
    root.addEventListener('change', () => {
      const before = side;
      plan();
      choose(at.map((i) => Math.floor((i * side) / before)));
    });
    const follow = (event) => {
      if (event.target.tagName !== 'CANVAS') return;
      const { left: x, top: y, width, height } = event.target.getBoundingClientRect();
      const place = [(event.clientY - y) / height, (event.clientX - x) / width];
      choose(place.map((share) => Math.floor(share * side)));
    };
    root.addEventListener('click', follow);
    root.addEventListener('pointermove', (event) => event.buttons === 1 && follow(event));
    element('.scans-picture').addEventListener('keydown', (event) => {
      const move = MOVES[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation(); // the book turns its pages with arrow keys
      const stride = event.shiftKey ? side / 8 : 1;
      choose(at.map((i, axis) => i + stride * move[axis]));
    });
    plan();
    root.hidden = false;
    document.getElementById('scans-failed').hidden = true;
    choose([side / 2, side / 2]);
  }

  const address = URL.createObjectURL(new Blob([network], { type: 'text/javascript' }));
  import(address)
    .finally(() => URL.revokeObjectURL(address))
    .then(start)
    .catch((error) => {
      document.getElementById('scans-failed').textContent = `This page failed: ${error.message}`;
    });
}
