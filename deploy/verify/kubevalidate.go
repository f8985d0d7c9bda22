//go:build ignore

// Command kubevalidate does with manifests what the API server does before it stores them: it decodes strictly, sets
// the defaults, validates with Kubernetes' own code (admission policies with their expressions compiled), and judges the
// pods by the Pod Security Standard "restricted". "make deploy-tools" builds it, in a throw-away module.
//
//	kubevalidate file.yaml...
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/admissionregistration"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	admissionvalidation "k8s.io/kubernetes/pkg/apis/admissionregistration/validation"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	k8scorev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	kpolicy "k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
)

var strict = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()

// checkOne returns what is wrong with an object, and the pod in it.
func checkOne(object runtime.Object) (wrong field.ErrorList, template *core.PodTemplateSpec) {
	options := pod.GetValidationOptionsFromPodTemplate
	switch o := object.(type) {
	case *apps.Deployment:
		o.Namespace = "default"
		return appsvalidation.ValidateDeployment(o, options(&o.Spec.Template, nil)), &o.Spec.Template
	case *apps.StatefulSet:
		o.Namespace = "default"
		return appsvalidation.ValidateStatefulSet(o, options(&o.Spec.Template, nil)), &o.Spec.Template
	case *batch.Job:
		o.Namespace = "default"
		generate(o)
		return batchvalidation.ValidateJob(o, batchvalidation.JobValidationOptions{PodValidationOptions: options(&o.Spec.Template, nil)}), &o.Spec.Template
	case *batch.CronJob:
		o.Namespace = "default"
		t := &o.Spec.JobTemplate.Spec.Template
		return batchvalidation.ValidateCronJobCreate(o, options(t, nil)), t
	case *core.Pod:
		o.Namespace = "default"
		t := &core.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
		return corevalidation.ValidatePodCreate(o, options(t, nil)), t
	case *core.Service:
		o.Namespace = "default"
		return corevalidation.ValidateServiceCreate(o), nil
	case *core.ConfigMap:
		o.Namespace = "default"
		return corevalidation.ValidateConfigMap(o), nil
	case *networking.NetworkPolicy:
		o.Namespace = "default"
		return networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	case *kpolicy.PodDisruptionBudget:
		o.Namespace = "default"
		return policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	case *autoscaling.HorizontalPodAutoscaler:
		o.Namespace = "default"
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(o, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{}), nil
	case *admissionregistration.MutatingAdmissionPolicy:
		return admissionvalidation.ValidateMutatingAdmissionPolicy(o), nil
	case *admissionregistration.MutatingAdmissionPolicyBinding:
		return admissionvalidation.ValidateMutatingAdmissionPolicyBinding(o), nil
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("%T is not understood here", object))}, nil
}

// generate adds what the API server adds to a Job before it validates.
func generate(job *batch.Job) {
	const uid = "controller-uid"
	job.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{uid: "1"}}
	if job.Spec.Template.Labels == nil {
		job.Spec.Template.Labels = map[string]string{}
	}
	for name, value := range map[string]string{uid: "1", "job-name": job.Name, batch.ControllerUidLabel: "1", batch.JobNameLabel: job.Name} {
		job.Spec.Template.Labels[name] = value
	}
	manual := true
	job.Spec.ManualSelector = &manual
}

func main() {
	log.SetFlags(0)
	restricted, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		log.Fatal(err)
	}
	failed, objects := false, 0
	for _, file := range os.Args[1:] {
		content, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		for _, document := range bytes.Split(append([]byte("\n"), content...), []byte("\n---")) {
			if !bytes.Contains(document, []byte("\nkind:")) {
				continue
			}
			objects++
			object, kind, err := strict.Decode(document, nil, nil)
			if err != nil {
				failed = true
				log.Printf("%s: %v", file, err)
				continue
			}
			wrong, template := checkOne(object)
			for _, e := range wrong {
				failed = true
				log.Printf("%s: %s: %v", file, kind.Kind, e)
			}
			if template == nil {
				continue
			}
			var external corev1.PodTemplateSpec
			if err := k8scorev1.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(template, &external, nil); err != nil {
				log.Fatal(err)
			}
			verdict := policy.AggregateCheckResults(restricted.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &external.ObjectMeta, &external.Spec))
			if !verdict.Allowed {
				failed = true
				log.Printf("%s: %s: violates the Pod Security Standard restricted: %s", file, kind.Kind, verdict.ForbiddenDetail())
			}
		}
	}
	if objects == 0 {
		log.Fatal("no objects")
	}
	fmt.Println(objects, "objects")
	if failed {
		os.Exit(1)
	}
}
