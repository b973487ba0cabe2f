package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jetbrains.annotations.Nullable;
import tfpwl.ContractException;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.OutOfMemoryException;
import tfpwl.TfpwlException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Face;
import tfpwl.bundle.FileEntry;
import tfpwl.bundle.TensorSpec;

/** Builds chains for mixes of one bundle; files that stay are shared between chains. */
final class ChainLoader {
    private final Bundle bundle;
    private final Engine engine;
    private final int threads;
    private final boolean inPlace;
    private final List<Face> faces;

    ChainLoader(Bundle bundle, Engine engine, int threads, boolean inPlace) {
        this.bundle = bundle;
        this.engine = engine;
        this.threads = threads;
        this.inPlace = inPlace;
        this.faces = Face.of(bundle.manifest());
    }

    /**
     * A chain for {@code mix} that takes over what {@code current} has loaded and loads the rest.
     *
     * @param current held by the caller meanwhile
     * @param warmUp run each new file once. The first run packs weights and touches pages; an answer should not wait
     *     for that.
     * @throws tfpwl.IntegrityException a file is missing or not what the manifest says
     * @throws ContractException a file's ends are not what the manifest says
     * @throws OutOfMemoryException there is not enough memory
     * @throws EngineException the engine cannot load or run a file
     */
    Chain build(Mix mix, @Nullable Chain current, boolean warmUp) {
        Map<String, Step> loaded = new HashMap<String, Step>();
        if (current != null) {
            for (Step step : current.steps) {
                loaded.put(step.entry.file, step);
            }
        }
        List<Step> steps = new ArrayList<Step>();
        FileEntry entry = null;
        try {
            for (FileEntry next : bundle.manifest().chain(mix)) {
                entry = next;
                Step step = loaded.get(next.file);
                if (step == null) {
                    step = load(next, warmUp);
                } else {
                    step.hold();
                }
                steps.add(step);
            }
            return new Chain(mix, steps, engine);
        } catch (TfpwlException exc) {
            release(steps);
            throw exc;
        } catch (OutOfMemoryError exc) {
            release(steps);
            throw outOfMemory(entry, exc);
        } catch (RuntimeException exc) {
            release(steps);
            throw failed(entry, exc);
        }
    }

    private static void release(List<Step> steps) {
        for (Step step : steps) {
            step.release();
        }
    }

    private Step load(FileEntry entry, boolean warmUp) {
        LoadedGroup group = null;
        boolean good = false;
        try {
            ByteBuffer model = bundle.read(entry, inPlace);
            group = engine.load(model, threads);
            checkFaces(entry, group);
            if (warmUp) {
                runOnce(group);
            }
            good = true;
            return new Step(entry, group);
        } catch (OutOfMemoryException exc) {
            throw new OutOfMemoryException(entry.file + ": " + exc.getMessage(), exc);
        } catch (EngineException exc) {
            throw new EngineException(entry.file + ": " + exc.getMessage(), exc);
        } catch (OutOfMemoryError exc) {
            throw outOfMemory(entry, exc);
        } catch (LinkageError exc) {
            throw failed(entry, exc);
        } catch (TfpwlException exc) {
            throw exc;
        } catch (RuntimeException exc) {
            // An engine is foreign code: whatever it throws must leave the last good mix answering.
            throw failed(entry, exc);
        } finally {
            if (!good && group != null) {
                group.close();
            }
        }
    }

    private static OutOfMemoryException outOfMemory(FileEntry entry, OutOfMemoryError exc) {
        return new OutOfMemoryException(entry.file + ": not enough memory to load its " + entry.bytes
                + " bytes. Free some and try again.", exc);
    }

    private EngineException failed(FileEntry entry, Throwable exc) {
        return new EngineException(entry.file + ": the engine '" + engine.name() + "' failed with " + exc, exc);
    }

    private void runOnce(LoadedGroup group) {
        LoadedGroup.Binding binding = group.bind(
                engine.allocate(group.input().numBytes()), engine.allocate(group.output().numBytes()));
        try {
            binding.run();
        } finally {
            binding.close();
        }
    }

    private void checkFaces(FileEntry entry, LoadedGroup group) {
        for (Face face : faces) {
            TensorSpec found = face.isInput ? group.input() : group.output();
            if (face.entry == entry && !face.accepts(found)) {
                throw new ContractException(entry.file + ": its " + (face.isInput ? "input" : "output") + " is "
                        + found + ", but " + face.where + " is " + face.spec + ". Export the bundle again.");
            }
        }
    }
}
