//go:build ignore

// Command policyeval applies a MutatingAdmissionPolicy to pods, with the code that the API server does it with, and
// writes the pods that come out. "make deploy-tools" builds it, in a throw-away module.
//
//	policyeval policy.yaml pods.yaml
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const budget = 10_000_000 // the API server's, for one policy

// compiled is a policy as the API server compiles it.
type compiled struct {
	matcher  matchconditions.Matcher
	patchers []patch.Patcher
	compiler *plugincel.CompositedCompiler
}

func compile(policy *v1.MutatingAdmissionPolicy) compiled {
	env := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	compiler, err := plugincel.NewCompositedCompiler(env)
	check(err)
	declared := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	var variables []plugincel.NamedExpressionAccessor
	for _, v := range policy.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, declared, environment.StoredExpressions)
	var conditions []plugincel.ExpressionAccessor
	for _, c := range policy.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&c))
	}
	c := compiled{compiler: compiler}
	c.matcher = matchconditions.NewMatcher(compiler.CompileCondition(conditions, declared, environment.StoredExpressions),
		policy.Spec.FailurePolicy, "policy", "mutate", policy.Name)
	declared.HasPatchTypes = true
	for _, m := range policy.Spec.Mutations {
		if m.PatchType != v1.PatchTypeJSONPatch {
			log.Fatalf("patch type %s is not understood here", m.PatchType)
		}
		evaluator := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, declared, environment.StoredExpressions)
		c.patchers = append(c.patchers, patch.NewJSONPatcher(evaluator))
	}
	return c
}

// apply runs a policy on one new pod.
func (c compiled) apply(policy *v1.MutatingAdmissionPolicy, pod *corev1.Pod) *corev1.Pod {
	selector, err := metav1.LabelSelectorAsSelector(policy.Spec.MatchConstraints.ObjectSelector)
	check(err)
	if !selector.Matches(labels.Set(pod.Labels)) {
		return pod
	}
	gvk, gvr := corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithResource("pods")
	var object runtime.Object = pod
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	ctx := c.compiler.CreateContext(context.Background())
	for i := -1; i < len(c.patchers); i++ {
		attributes := admission.NewAttributesRecord(object, nil, gvk, "default", pod.Name, gvr, "", admission.Create, &metav1.CreateOptions{}, false, nil)
		versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: gvk, VersionedObject: object}
		if i < 0 {
			result := c.matcher.Match(ctx, versioned, nil, nil)
			check(result.Error)
			if !result.Matches {
				return pod
			}
			continue
		}
		object, err = c.patchers[i].Patch(ctx, patch.Request{
			MatchedResource: gvr, VersionedAttributes: versioned, Namespace: namespace,
			ObjectInterfaces: admission.NewObjectInterfacesFromScheme(scheme.Scheme),
		}, budget)
		check(err)
	}
	return object.(*corev1.Pod)
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: policyeval policy.yaml pods.yaml")
	}
	var policy *v1.MutatingAdmissionPolicy
	for _, document := range documents(os.Args[1]) {
		var p v1.MutatingAdmissionPolicy
		if err := yaml.UnmarshalStrict(document, &p); err == nil && p.Kind == "MutatingAdmissionPolicy" {
			policy = &p
		}
	}
	if policy == nil {
		log.Fatal("no MutatingAdmissionPolicy in ", os.Args[1])
	}
	c := compile(policy)
	for _, document := range documents(os.Args[2]) {
		var pod corev1.Pod
		check(yaml.UnmarshalStrict(document, &pod))
		scheme.Scheme.Default(&pod)
		out := c.apply(policy, &pod)
		out.APIVersion, out.Kind = "v1", "Pod"
		text, err := yaml.Marshal(out)
		check(err)
		fmt.Printf("---\n%s", text)
	}
}

func documents(file string) (all [][]byte) {
	content, err := os.ReadFile(file)
	check(err)
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		if len(bytes.TrimSpace(document)) > 0 {
			all = append(all, document)
		}
	}
	return all
}

func check(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		log.Fatal(err)
	}
}
