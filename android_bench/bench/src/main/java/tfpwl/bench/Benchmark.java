package tfpwl.bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import tfpwl.Mix;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.FileEntry;
import tfpwl.bundle.Manifest;
import tfpwl.runtime.Engine;

/** Measures a bundle and its rivals: runs of all subjects, each run in another order. */
final class Benchmark {
    /** What a GPU's answers may differ by from load to load, as it computes with float16. */
    private static final float GPU_TOLERANCE = 1e-2f;

    private final Arguments arguments;
    private final Platform platform;
    private final Engine engine;
    private final Manifest manifest;
    private final List<Mix> path;
    private final Question question;
    private final int threads;
    private final String root;

    private final List<Map<String, Object>> starts = new ArrayList<Map<String, Object>>();
    private final List<Map<String, Object>> upgrades = new ArrayList<Map<String, Object>>();
    private final List<Map<String, Object>> steady = new ArrayList<Map<String, Object>>();
    private final List<Map<String, Object>> compared = new ArrayList<Map<String, Object>>();
    private final List<Map<String, Object>> memory = new ArrayList<Map<String, Object>>();

    /**
     * @throws tfpwl.BundleException the bundle cannot be used
     * @throws UsageException a rival is no file
     */
    Benchmark(Arguments arguments, Platform platform, Engine engine) {
        this.arguments = arguments;
        this.platform = platform;
        this.engine = engine;
        Bundle bundle = Bundle.open(arguments.bundle);
        manifest = bundle.manifest();
        root = bundle.root();
        path = Mix.path(manifest.order());
        question = new Question(manifest, arguments.seed);
        threads = arguments.threads == 0 ? manifest.threads() : arguments.threads;
        for (Rival rival : arguments.rivals) {
            if (!rival.file.isFile()) {
                throw new UsageException("Received --rival " + rival.name + "=" + rival.file
                        + ", which is no file; expected a .tflite file.");
            }
        }
    }

    /** Measure; the result's fields from {@code options} to {@code summary}. */
    Map<String, Object> measure() throws InterruptedException {
        Map<String, Object> before = Conditions.read(platform);
        Random random = new Random(arguments.seed);
        for (int run = 0; run < arguments.runs; run++) {
            List<Rival> subjects = new ArrayList<Rival>(arguments.rivals);
            subjects.add(null);
            Collections.shuffle(subjects, random);
            for (int place = 0; place < subjects.size(); place++) {
                Rival rival = subjects.get(place);
                platform.say("tfpwl-bench: run " + (run + 1) + " of " + arguments.runs + ": "
                        + (rival == null ? Arguments.BUNDLE : rival.name));
                if (rival == null) {
                    measureBundle(run, place);
                } else {
                    measureRival(run, place, rival);
                }
            }
            compare(run, random);
        }
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("options", arguments.toFields(threads));
        fields.put("engine", engineFields());
        fields.put("bundle", bundleFields());
        fields.put("before", before);
        fields.put("after", Conditions.read(platform));
        fields.put("starts", starts);
        fields.put("upgrades", upgrades);
        fields.put("steady", steady);
        fields.put("compared", compared);
        fields.put("memory", memory);
        fields.put("summary", Summary.of(fields));
        return fields;
    }

    private void measureBundle(int run, int place) throws InterruptedException {
        remember(run, Arguments.BUNDLE, "before", null);
        long start = System.nanoTime();
        BundleSubject subject = new BundleSubject(arguments.bundle, engine, arguments.threads);
        try {
            start(run, place, Arguments.BUNDLE, start, subject);
            remember(run, Arguments.BUNDLE, "loaded", subject);
            UpgradeTrace trace = new UpgradeTrace(path);
            trace.record(subject, question);
            remember(run, Arguments.BUNDLE, "complete", subject);
            steadyMixes(run, subject, trace);
        } finally {
            subject.close();
        }
        remember(run, Arguments.BUNDLE, "closed", null);
    }

    /** Every mix of the path at rest; then the answers of the upgrade can be judged. */
    private void steadyMixes(int run, BundleSubject subject, UpgradeTrace trace) {
        subject.model.downgradeNow(path.get(0));
        List<Times> times = new ArrayList<Times>();
        List<ByteBuffer> expected = new ArrayList<ByteBuffer>();
        for (Mix mix : path) {
            subject.model.upgradeNow(null, mix);
            Times found = question.askFor(subject, arguments.seconds);
            expected.add(question.keepAnswer().order(question.answer.order()));
            times.add(found);
            steady.add(steadyFields(run, Arguments.BUNDLE, mix.toString(), found));
        }
        upgrades.add(trace.toFields(run, times, trace.numWrong(expected, arguments.gpu ? GPU_TOLERANCE : 0)));
    }

    private void measureRival(int run, int place, Rival rival) {
        remember(run, rival.name, "before", null);
        long start = System.nanoTime();
        OnePiece subject = new OnePiece(rival, engine, threads);
        try {
            subject.check(rival, question);
            start(run, place, rival.name, start, subject);
            remember(run, rival.name, "loaded", subject);
            steady.add(steadyFields(run, rival.name, null, question.askFor(subject, arguments.seconds)));
        } finally {
            subject.close();
        }
        remember(run, rival.name, "closed", null);
    }

    private static Map<String, Object> steadyFields(int run, String subject, String mix, Times times) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("run", run);
        fields.put("subject", subject);
        fields.put("mix", mix);
        fields.putAll(times.toFields());
        return fields;
    }

    private void start(int run, int place, String name, long start, Subject subject) {
        double create = (System.nanoTime() - start) / 1e6;
        double first = question.ask(subject);
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("run", run);
        fields.put("place", place);
        fields.put("subject", name);
        fields.put("fresh", run == 0 && place == 0);
        fields.put("create_ms", create);
        fields.put("first_ms", first);
        fields.put("total_ms", create + first);
        starts.add(fields);
    }

    private void remember(int run, String name, String at, Subject subject) {
        if (subject == null) {
            // Maps of files are given back when their buffers are collected.
            System.gc();
        }
        memory.add(ProcessMemory.read(run, name, at, subject == null ? 0 : subject.filesBytes()));
    }

    /** The chain against each rival, both loaded and answering in turn: students first, as the bundle only grows. */
    private void compare(int run, Random random) {
        if (arguments.rivals.isEmpty()) {
            return;
        }
        List<Rival> shuffled = new ArrayList<Rival>(arguments.rivals);
        Collections.shuffle(shuffled, random);
        BundleSubject chain = new BundleSubject(arguments.bundle, engine, arguments.threads);
        try {
            compareWith(run, chain, shuffled, true);
            chain.model.upgradeNow(null, null);
            compareWith(run, chain, shuffled, false);
        } finally {
            chain.close();
        }
    }

    private void compareWith(int run, BundleSubject chain, List<Rival> rivals, boolean students) {
        for (Rival rival : rivals) {
            if (rival.isStudent() == students) {
                OnePiece whole = new OnePiece(rival, engine, threads);
                try {
                    Times[] times = question.askInTurn(chain, whole, arguments.seconds);
                    Map<String, Object> fields = new LinkedHashMap<String, Object>();
                    fields.put("run", run);
                    fields.put("rival", rival.name);
                    fields.put("mix", chain.model.mix().toString());
                    fields.put("num_answers", times[0].count());
                    fields.put("chain_ms", times[0].median());
                    fields.put("rival_ms", times[1].median());
                    fields.put("ratio", times[0].median() / times[1].median());
                    compared.add(fields);
                } finally {
                    whole.close();
                }
            }
        }
    }

    private Map<String, Object> engineFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("name", engine.name());
        fields.put("tflite", engine.tfliteLevel());
        return fields;
    }

    private Map<String, Object> bundleFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("path", root);
        fields.put("name", manifest.name());
        fields.put("tier", manifest.tier());
        fields.put("precision", manifest.precision());
        fields.put("num_groups", manifest.numGroups());
        fields.put("order", manifest.order());
        List<Object> mixes = new ArrayList<Object>();
        for (Mix mix : path) {
            mixes.add(mix.toString());
        }
        fields.put("mixes", mixes);
        fields.put("student_bytes", bytes(path.get(0)));
        fields.put("teacher_bytes", bytes(path.get(path.size() - 1)));
        return fields;
    }

    private long bytes(Mix mix) {
        long bytes = 0;
        for (FileEntry entry : manifest.chain(mix)) {
            bytes += entry.bytes;
        }
        return bytes;
    }
}
